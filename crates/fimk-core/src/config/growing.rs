//! `growing`: files to which is only ever added, and who may put them aside.

use super::{ConfigError, ContentMode, error::shown, section::Section};
use crate::{path::BytePath, pattern::Pattern};

/// Programs that a rule may name: a host has one or two.
const ROTATORS_MAX: usize = 16;

/// `growing = true`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growing {
    /// Programs whose doing is a rotation.
    pub rotators: Vec<BytePath>,
}

pub(super) fn growing(
    section: &Section<'_>,
    content: ContentMode,
) -> Result<Option<Growing>, ConfigError> {
    let rotators = section.strings("rotators")?;
    if section.boolean("growing")? != Some(true) {
        return match rotators.first() {
            None => Ok(None),
            Some(first) => Err(section.error_at(
                *first,
                "`rotators` are for growing = true only; write that too, or remove them",
            )),
        };
    }
    if content == ContentMode::None {
        return Err(section.error(
            "growing = true compares contents, and content = \"none\" forbids to read them; remove one of them",
        ));
    }
    let mut paths = Vec::new();
    for rotator in rotators {
        let wrong = |why: &str| {
            section.error_at(
                rotator,
                format!("rotator \"{}\" {why}", shown(rotator.text)),
            )
        };
        match Pattern::parse(rotator.text) {
            Ok(Pattern::Path(path)) => paths.push(path),
            Ok(Pattern::Glob(_)) => return Err(wrong("has wildcards; name one program")),
            Err(why) => return Err(wrong(&why)),
        }
        if paths.len() > ROTATORS_MAX {
            return Err(wrong(&format!(
                "is one too many: a rule has at most {ROTATORS_MAX} `rotators`"
            )));
        }
    }
    Ok(Some(Growing { rotators: paths }))
}
