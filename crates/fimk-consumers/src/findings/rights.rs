//! Who may do what, and what runs as root.

use std::collections::BTreeSet;

use super::{
    Finding, Kind,
    system::{LOADING, number, sets_loading},
};
use crate::{
    entries::{Entry, Field, State},
    pieces::{Numbers, Piece, Pieces},
    sudoers::is_as_root,
    table::MAX_FIELD,
};

/// What is to be found in entries: the kind, what is said behind the subject, and of which entries.
pub(super) type Rule = (Kind, &'static str, fn(&Entry) -> bool);

pub(super) const SUDOERS: &[Rule] = &[
    (
        Kind::SudoersNopasswd,
        ": sudo asks for no password",
        is_without_password,
    ),
    (Kind::SudoersAll, " as root", is_everything),
    (
        Kind::SudoersNoAuthentication,
        ": sudo asks its members for no password",
        |entry| {
            let subject = plain(&entry.subject);
            subject.starts_with("Defaults")
                && subject.ends_with(" exempt_group")
                && value(entry, Field::Value) != "off"
        },
    ),
    (
        Kind::SudoersNoAuthentication,
        " is off: sudo asks for no password",
        |entry| {
            let subject = plain(&entry.subject);
            let is_setting = subject.starts_with("Defaults") && subject.ends_with(" authenticate");
            is_setting && value(entry, Field::Value) == "off"
        },
    ),
    (
        Kind::EnvironmentPreload,
        ": sudo keeps what the dynamic linker is to load",
        |entry| {
            let said = plain(&entry.subject) + &value(entry, Field::Value);
            let keeps = said.starts_with("Defaults") && said.contains(" env_keep");
            keeps && (said.contains("LD_*") || LOADING.iter().any(|name| said.contains(name)))
        },
    ),
];

pub(super) const SSHD: &[Rule] = &[
    (
        Kind::SshdRootLogin,
        " yes: root may log in by a password",
        |entry| is_set(entry, "PermitRootLogin", "yes"),
    ),
    (
        Kind::SshdEmptyPasswords,
        " yes: who has no password needs none",
        |entry| is_set(entry, "PermitEmptyPasswords", "yes"),
    ),
    (
        Kind::SshdPasswordAuthentication,
        " yes: a password lets in",
        |entry| is_set(entry, "PasswordAuthentication", "yes"),
    ),
    (
        Kind::SshdKeysCommand,
        ": a program says whose keys are good",
        |entry| {
            let value = value(entry, Field::Value);
            directive(entry) == "AuthorizedKeysCommand" && !value.eq_ignore_ascii_case("none")
        },
    ),
    (
        Kind::SshdKeysElsewhere,
        ": whoever has a key that is named there is let in",
        has_keys_elsewhere,
    ),
];

/// Keys of users from another place than where they are by default, or those of whom users' certificates are believed.
fn has_keys_elsewhere(entry: &Entry) -> bool {
    const USUAL: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];
    if !matches!(
        directive(entry).as_str(),
        "AuthorizedKeysFile" | "TrustedUserCAKeys"
    ) {
        return false;
    }
    let value = value(entry, Field::Value);
    let mut names = value
        .split([' ', '"'])
        .map(|name| name.strip_prefix("%h/").unwrap_or(name));
    names.any(|name| {
        !name.is_empty() && !name.eq_ignore_ascii_case("none") && !USUAL.contains(&name)
    })
}

/// A password lets in where nothing says otherwise: that is so again if what said it is gone.
pub(super) fn passwords_again(before: Option<&State>, after: &State) -> Option<Finding> {
    const NAME: &str = "PasswordAuthentication";
    let said = |state: &State| {
        let mut entries = state.entries.iter();
        let entry = entries.find(|entry| plain(&entry.subject) == NAME)?;
        Some(value(entry, Field::Value))
    };
    let forbade = before
        .and_then(said)
        .is_some_and(|value| value.eq_ignore_ascii_case("no"));
    (forbade && said(after).is_none()).then(|| {
        let words = format!("{NAME} no is gone: a password lets in, if no other file says no");
        Kind::SshdPasswordAuthentication.finding(words)
    })
}

pub(super) const PAM: &[Rule] = &[
    (
        Kind::PamPermit,
        " is sufficient: whoever comes so far is let in",
        |entry| {
            let asks = plain(&entry.subject).starts_with("auth ");
            asks && is_module(entry, "pam_permit.so")
                && ends_with_success(&value(entry, Field::Control))
        },
    ),
    (Kind::PamExec, " runs a program", |entry| {
        is_module(entry, "pam_exec.so")
    }),
];

/// Of a stack that was known: modules of `auth` that are enough by themselves and were not, and those that ask for a
/// password, or refuse whom none before let in, and are gone.
pub(super) fn asks_less(before: Option<&State>, after: &State) -> Vec<Finding> {
    let Some(before) = before else {
        return Vec::new();
    };
    let of_auth = |state: &State, is: fn(&Entry) -> bool| -> BTreeSet<String> {
        let subjects = state.entries.iter().filter(|entry| is(entry));
        let subjects = subjects.map(|entry| shown(&entry.subject));
        subjects
            .filter(|subject| subject.starts_with("auth "))
            .collect()
    };
    let [old, new] = [before, after].map(|state| of_auth(state, is_enough));
    let enough = new.difference(&old).map(|subject| {
        Kind::PamWeakened.finding(format!("{subject} is enough by itself to be let in"))
    });
    let [old, new] = [before, after].map(|state| of_auth(state, refuses));
    let gone = old
        .difference(&new)
        .map(|subject| Kind::PamWeakened.finding(format!("{subject} is not asked any more")));
    enough.chain(gone).collect()
}

/// `pam_permit.so` is found by another name.
fn is_enough(entry: &Entry) -> bool {
    !is_module(entry, "pam_permit.so") && ends_with_success(&value(entry, Field::Control))
}

fn refuses(entry: &Entry) -> bool {
    ["pam_deny.so", "pam_unix.so"]
        .iter()
        .any(|name| is_module(entry, name))
}

pub(super) const CRONTAB: &[Rule] = &[
    (Kind::CronRootJob, " is run as root", |entry| {
        value(entry, Field::User) == "root"
    }),
    (
        Kind::EnvironmentPreload,
        " is set for the jobs behind it",
        sets_loading,
    ),
];

pub(super) const PRELOAD: &[Rule] = &[(
    Kind::PreloadEntry,
    ": every program loads it before all else",
    |_| true,
)];

/// By each rule the subjects of which it holds now and did not before, each once.
pub(super) fn in_entries(rules: &[Rule], before: Option<&State>, after: &State) -> Vec<Finding> {
    fn entries(state: Option<&State>, is: fn(&Entry) -> bool) -> impl Iterator<Item = &Entry> {
        let entries = state.map_or(&[][..], |state| &state.entries).iter();
        entries.filter(move |entry| is(entry))
    }
    let mut findings = Vec::new();
    for &(kind, words, is) in rules {
        let right = |entry| Right::of(kind, entry);
        let old: BTreeSet<Right<'_>> = entries(before, is).map(right).collect();
        let new = entries(Some(after), is).filter(|entry| !right(entry).is_among(&old));
        let subjects: BTreeSet<&Pieces> = new.map(|entry| &entry.subject).collect();
        let found = subjects.into_iter();
        findings.extend(found.map(|it| kind.finding(format!("{}{words}", shown(it)))));
    }
    findings
}

/// Kinds about what is named beside the subject, a program or a file: another one is another finding.
const NAMING: [Kind; 6] = [
    Kind::SshdKeysCommand,
    Kind::SshdKeysElsewhere,
    Kind::PamExec,
    Kind::EnvironmentPreload,
    Kind::ModprobeCommand,
    Kind::SysctlWeakened,
];

/// What a finding is about: the same as somebody else or elsewhere is another, unless it was so everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Right<'a> {
    subject: &'a Pieces,
    named: [Option<&'a Pieces>; 2],
    run_as: Whom<'a>,
    on: Whom<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whom<'a> {
    All,
    Said(Option<&'a Pieces>),
}

impl<'a> Right<'a> {
    fn of(kind: Kind, entry: &'a Entry) -> Self {
        // A number means the same however it is written.
        let is_name = |said: &&Pieces| NAMING.contains(&kind) && number(&plain(said)).is_none();
        let named = |field| entry.field(field).filter(is_name);
        let whom = |field, is_all: fn(&str) -> bool| match entry.field(field) {
            Some(said) if is_all(&plain(said)) => Whom::All,
            said => Whom::Said(said),
        };
        Self {
            subject: &entry.subject,
            named: [Field::Value, Field::Arguments].map(named),
            // Whoever may do it as root may do it as anybody.
            run_as: whom(Field::As, is_as_root),
            on: whom(Field::On, |hosts| hosts == "ALL"),
        }
    }

    fn is_among(self, known: &BTreeSet<Self>) -> bool {
        [self.run_as, Whom::All].into_iter().any(|run_as| {
            let like = |on| known.contains(&Self { run_as, on, ..self });
            like(self.on) || like(Whom::All)
        })
    }
}

/// The text without what is secret in it: whole, for a long one must not hide how it ends.
pub(super) fn plain(pieces: &Pieces) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Bytes(_) | Piece::Secret(_) => "?".to_owned(),
    };
    pieces.0.iter().map(text).collect()
}

/// For a person.
pub(super) fn shown(pieces: &Pieces) -> String {
    pieces.render(&mut Numbers::default(), MAX_FIELD).text
}

pub(super) fn value(entry: &Entry, field: Field) -> String {
    entry.field(field).map(plain).unwrap_or_default()
}

fn is_without_password(entry: &Entry) -> bool {
    let tags = value(entry, Field::Tags);
    tags.split(' ').any(|tag| tag == "NOPASSWD")
}

/// Somebody who is not root may run whatever he likes as root.
fn is_everything(entry: &Entry) -> bool {
    let subject = plain(&entry.subject);
    let users = subject.strip_suffix(" may run ALL");
    users.is_some_and(|users| users != "root") && is_as_root(&value(entry, Field::As))
}

/// Its name, in a block of `Match` or not.
fn directive(entry: &Entry) -> String {
    let subject = plain(&entry.subject);
    subject.rsplit(": ").next().unwrap_or_default().to_owned()
}

fn is_set(entry: &Entry, name: &str, wanted: &str) -> bool {
    directive(entry) == name && value(entry, Field::Value).eq_ignore_ascii_case(wanted)
}

/// Whether what is asked behind a module that succeeds is not asked any more, or not all of it: by `sufficient`, or by
/// what it says in brackets to do at `success`.
fn ends_with_success(control: &str) -> bool {
    let Some(actions) = control.strip_prefix('[') else {
        return control.eq_ignore_ascii_case("sufficient");
    };
    let actions = actions
        .trim_end_matches(']')
        .replace(" =", "=")
        .replace("= ", "=");
    let of = |result: &str| {
        let said = actions.split(' ').filter_map(|it| it.split_once('='));
        let mut said = said.filter(|(name, _)| *name == result);
        said.next_back().map(|(_, action)| action.to_owned())
    };
    let action = of("success").or_else(|| of("default")).unwrap_or_default();
    let jumps = !action.is_empty() && action.bytes().all(|it| it.is_ascii_digit());
    action == "done" || jumps && action != "0"
}

fn is_module(entry: &Entry, name: &str) -> bool {
    plain(&entry.subject).rsplit(['/', ' ']).next() == Some(name)
}
