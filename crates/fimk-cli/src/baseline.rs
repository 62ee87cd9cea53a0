//! `fimk baseline`: what is recorded, and what somebody has looked at and found right.

use std::path::Path;

use fimk_core::{
    exit::{Failure, Status},
    render::one_line,
    request::{Accept, Records, Request},
};
use serde_json::Value;

use crate::{
    client, print,
    words::{bytes, moment, shown},
};

/// Of a digest in a list: enough to tell two files apart.
const DIGEST_SHOWN: usize = 12;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Print records.
    Print {
        /// Which.
        records: Records,
        /// Each as a JSON object on a line.
        json: bool,
    },
    /// Say that changes were looked at.
    Accept {
        /// Which.
        accept: Accept,
        /// Print the answer as it came.
        json: bool,
    },
}

/// Does it.
pub fn run(run_dir: &Path, wanted: &Wanted) -> Result<(), Failure> {
    match wanted {
        Wanted::Print { records, json } => print_all(run_dir, records, *json),
        Wanted::Accept { accept, json } => {
            let request = Request::Accept(Box::new(accept.clone()));
            let answer = client::ask(run_dir, &request)?;
            print(&if *json {
                one_line(&answer["accepted"]) + "\n"
            } else {
                accepted(&answer["accepted"])
            })
        }
    }
}

/// A page after the other, so that little is held however many there are.
fn print_all(run_dir: &Path, records: &Records, json: bool) -> Result<(), Failure> {
    let mut records = records.clone();
    loop {
        let request = Request::Records(Box::new(records.clone()));
        let answer = client::ask(run_dir, &request)?;
        let page = answer["records"].as_array().into_iter().flatten();
        let text: String = page
            .map(|record| if json { one_line(record) } else { line(record) } + "\n")
            .collect();
        print(&text)?;
        let Some(next) = answer["next"].as_str() else {
            return Ok(());
        };
        if records.after.as_deref() == Some(next) {
            let sentence = "the monitor gives the same records again: see who listens there";
            return Err(Failure::new(Status::Io, sentence));
        }
        records.after = Some(next.to_owned());
    }
}

/// As `ls -l` has it, with the beginning of a digest.
fn line(record: &Value) -> String {
    let text = |pointer: &str| {
        let text = record.pointer(pointer).and_then(Value::as_str);
        text.map(shown)
    };
    let or = |one: &str, other: &str| text(one).or_else(|| text(other)).unwrap_or_default();
    let size = record.pointer("/file/size").and_then(Value::as_u64);
    let target = text("/file/target_path").map_or_else(String::new, |it| format!(" -> {it}"));
    format!(
        "{:10} {:8} {:8} {:>10} {} {:DIGEST_SHOWN$} {}{target}",
        text("/fimk/mode_symbolic").unwrap_or_default(),
        or("/file/owner", "/file/uid"),
        or("/file/group", "/file/gid"),
        bytes(size.unwrap_or(0)),
        moment(&text("/file/mtime").unwrap_or_default()),
        digest(record).unwrap_or_else(|| "-".to_owned()),
        text("/file/path").unwrap_or_default(),
    )
}

/// The beginning of the digest that there is.
fn digest(record: &Value) -> Option<String> {
    let plain = record.pointer("/file/hash").and_then(Value::as_object);
    let other = record.pointer("/fimk/hash").and_then(Value::as_object);
    let hashes = [plain, other].into_iter().flatten().flatten();
    let hashes = hashes.map(|(_, digest)| digest);
    let mut digests = hashes.chain(record.pointer("/fimk/digest"));
    let digest = shown(digests.next()?.as_str()?);
    Some(digest.chars().take(DIGEST_SHOWN).collect())
}

/// `Events up to 12 are accepted.`
fn accepted(answer: &Value) -> String {
    let through = answer["through"].as_u64().unwrap_or(0);
    let of = answer["path"].as_str();
    let of = of.map_or_else(String::new, |path| format!(" of {}", shown(path)));
    format!("Events{of} up to {through} are accepted.\n")
}

/// Who accepted something, and when, in a sentence.
pub fn by_whom(accepted: &Value) -> String {
    let text = |name: &str| accepted[name].as_str().map(shown);
    let number = |name: &str| accepted[name].as_u64();
    let user = text("user").or_else(|| Some(format!("user {}", number("uid")?)));
    let login = number("login_uid").filter(|login| Some(*login) != number("uid"));
    let login = login.map_or_else(String::new, |it| format!(" (login uid {it})"));
    let note = text("note").map_or_else(String::new, |it| format!(": {it}"));
    format!(
        "by {}{login} at {}{note}",
        user.unwrap_or_default(),
        moment(&text("time").unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_its_name_is() {
        let record = json!({
            "file": {
                "path": "/a\u{1b}[2J\\x0a", "owner": "root", "gid": "7", "size": 2048, "mtime": "2026-11-22T03:40:01.000000005Z",
                "hash": { "sha256": "0123456789abcdef" }, "target_path": "/b",
            },
            "fimk": { "mode_symbolic": "-rw-r--r--" },
        });
        assert_eq!(
            line(&record),
            "-rw-r--r-- root     7             2 KiB 2026-11-22 03:40:01 UTC 0123456789ab /a\\u{1b}[2J\\x0a -> /b"
        );
        assert!(line(&Value::Null).contains(" - "));
    }

    #[test]
    fn who_accepted_is_told() {
        let one = json!({ "through": 12, "uid": 0, "user": "root", "login_uid": 1000, "time": "x", "note": "CHG-1\n" });
        assert_eq!(by_whom(&one), "by root (login uid 1000) at x: CHG-1\\u{a}");
        assert_eq!(accepted(&one), "Events up to 12 are accepted.\n");
    }
}
