//! How often each program is attached: the recursion guard of trampolines skips a program on a CPU on which it is
//! inside already, see `bpf/maps.h`.

use std::collections::BTreeSet;

use fimk_wire::{HOOK_NAMES, raw};

use crate::error::Result;
use crate::log;
use crate::objects::{self, Copied};
use crate::pins::{LINK, Pins};
use crate::preempt;
use crate::probe::Source;

/// Strict where a program may be skipped, unless something else is asked for.
pub fn choose(source: &mut Source) {
    source.preempts = preempt::is_possible();
    if source.coverage == raw::FIMK_COVERAGE_AUTO {
        source.coverage = if source.preempts {
            raw::FIMK_COVERAGE_STRICT
        } else {
            raw::FIMK_COVERAGE_NORMAL
        };
    }
}

/// Which copy of the programs is loaded first.
pub fn first_copy(coverage: u32) -> Copied {
    if coverage == raw::FIMK_COVERAGE_STRICT {
        Copied::First
    } else {
        Copied::Only
    }
}

/// Attaches the second copy of the programs that serve. Where that fails the first alone serve, and say so.
pub fn attach_again(source: &mut Source, hooks: &BTreeSet<u32>, pins: &mut Pins) -> Result<()> {
    let (Some(file), Some(process)) = (&source.file, &source.process) else {
        return Ok(());
    };
    let second = match file.load_again(process, hooks) {
        Ok(second) => second,
        Err(cause) => {
            log::line(format_args!(
                "the programs cannot be loaded a second time, so the coverage is not strict: {cause:#}"
            ));
            source.coverage = raw::FIMK_COVERAGE_NORMAL;
            return Ok(());
        }
    };
    for &hook in hooks {
        let name = HOOK_NAMES[hook as usize];
        match objects::attach(second.object(), hook) {
            Ok(mut link) => {
                pins.pin(&format!("{LINK}again_{name}"), |path| link.pin(path))?;
                source.links.push(link);
            }
            Err(cause) => log::line(format_args!(
                "the hook {name} is served by one program only: {cause:#}"
            )),
        }
    }
    source.second = Some(second);
    Ok(())
}
