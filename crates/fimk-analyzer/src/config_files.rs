//! The files of a configuration: the one that is named, and the drop-ins beside it. The command `fimk` reads them the same way.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use fimk_core::{
    config::{CONFIG_BYTES_MAX, DROP_IN_DIRECTORY, DROP_IN_ENDING, DROP_INS_MAX, Texts},
    path::BytePath,
};

/// Names looked at in a directory of drop-ins: whoever may write there must not keep us reading it.
const NAMES_MAX: usize = 10_000;

/// Reads them, the drop-ins in the order of their names' bytes. Those are all regular files in `conf.d` beside the one that
/// is named whose names end with `.toml` and do not begin with a dot.
///
/// # Errors
/// One sentence that names the file.
pub fn read(config: &Path) -> Result<Texts, String> {
    let text = text(config).map_err(|error| {
        format!(
            "the configuration {} cannot be read ({error}): give --config a readable TOML file",
            config.display()
        )
    })?;
    let mut texts = Texts::new(config.display().to_string(), text);
    for path in drop_ins(config)? {
        let shown = BytePath::new(path.as_os_str().as_bytes()).escaped();
        let drop_in = self::text(&path).map_err(|error| {
            format!("the drop-in {shown} cannot be read ({error}): make it readable, or remove it")
        })?;
        texts.add(shown, drop_in);
        if texts.bytes() > CONFIG_BYTES_MAX {
            break;
        }
    }
    Ok(texts)
}

/// Of a file that never ends only so much that it is refused for its size.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let most = CONFIG_BYTES_MAX as u64 + 1;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

fn drop_ins(config: &Path) -> Result<Vec<PathBuf>, String> {
    let directory = config
        .parent()
        .unwrap_or(Path::new(""))
        .join(DROP_IN_DIRECTORY);
    let wrong = |error: io::Error| {
        format!(
            "the directory of drop-ins {} cannot be read ({error}): make it readable, or remove it",
            directory.display()
        )
    };
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(wrong)?,
    };
    let mut names: Vec<OsString> = Vec::new();
    for entry in entries.take(NAMES_MAX) {
        let name = entry.map_err(wrong)?.file_name();
        let bytes = name.as_bytes();
        if bytes.ends_with(DROP_IN_ENDING.as_bytes()) && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_unstable();
    let paths = names.into_iter().map(|name| directory.join(name));
    // What is there and cannot be read is an error when it is read; pipes and directories are none.
    let paths: Vec<PathBuf> = paths
        .filter(|path| fs::metadata(path).map_or(true, |meta| meta.is_file()))
        .collect();
    if paths.len() > DROP_INS_MAX {
        return Err(format!(
            "there are {} drop-ins in {}, and {DROP_INS_MAX} at most are read: put some together",
            paths.len(),
            directory.display()
        ));
    }
    Ok(paths)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a failed step of a test is its failure")]
mod tests {
    use super::*;

    fn scene() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("fimk.toml");
        fs::write(&config, "# main\n").expect("written");
        (directory, config)
    }

    #[test]
    fn drop_ins_are_read_in_the_order_of_their_names_and_others_are_passed_over() {
        let (directory, config) = scene();
        assert_eq!(read(&config).expect("read").joined(), "# main\n");
        let drop_ins = directory.path().join("conf.d");
        fs::create_dir_all(drop_ins.join("directory.toml")).expect("made");
        for name in [
            "20-b.toml",
            "10-a.toml",
            ".hidden.toml",
            "old.toml~",
            "README",
        ] {
            fs::write(drop_ins.join(name), name).expect("written");
        }
        let texts = read(&config).expect("read");
        let mut wanted = Texts::new(config.display().to_string(), "# main\n");
        for name in ["10-a.toml", "20-b.toml"] {
            wanted.add(drop_ins.join(name).display().to_string(), name);
        }
        assert_eq!(texts, wanted);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let (directory, config) = scene();
        let drop_ins = directory.path().join("conf.d");
        fs::write(&drop_ins, "").expect("written");
        let error = read(&config).expect_err("a file is no directory");
        assert!(error.contains("conf.d cannot be read"), "{error}");
        fs::remove_file(&drop_ins).expect("removed");
        fs::create_dir(&drop_ins).expect("made");
        fs::write(drop_ins.join("a.toml"), b"\xff").expect("written");
        let error = read(&config).expect_err("not UTF-8");
        assert!(error.contains("a.toml cannot be read"), "{error}");
        let missing = directory.path().join("none.toml");
        assert!(read(&missing).expect_err("missing").contains("none.toml"));
    }

    #[test]
    fn a_dangling_link_among_them_is_an_error_and_too_many_are_refused() {
        let (directory, config) = scene();
        let drop_ins = directory.path().join("conf.d");
        fs::create_dir(&drop_ins).expect("made");
        std::os::unix::fs::symlink("nowhere", drop_ins.join("a.toml")).expect("linked");
        assert!(read(&config).expect_err("dangling").contains("a.toml"));
        fs::remove_file(drop_ins.join("a.toml")).expect("removed");
        for number in 0..=DROP_INS_MAX {
            fs::write(drop_ins.join(format!("{number}.toml")), "").expect("written");
        }
        assert!(
            read(&config)
                .expect_err("too many")
                .contains("257 drop-ins")
        );
    }
}
