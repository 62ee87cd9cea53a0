//! The programs of an object, by their hooks.

use std::os::fd::{AsFd, OwnedFd};

use fimk_wire::{HOOK_NAMES, raw};
use libbpf_rs::{Link, Object, Program, ProgramMut, Result};

use crate::life;

/// The name of the C function of a hook's program.
pub fn program_name(hook: u32) -> String {
    let hook = match hook {
        raw::FIMK_HOOK_TASKS => "tasks",
        raw::FIMK_HOOK_OPEN_FILES => "open_files",
        raw::FIMK_HOOK_MAPPINGS => "mappings",
        _ => HOOK_NAMES.get(hook as usize).copied().unwrap_or_default(),
    };
    format!("fimk_{hook}")
}

/// Attaches the program of a hook.
pub fn attach(object: &Object, hook: u32) -> Result<Link> {
    let link = program(object, hook)?.attach();
    life::sign();
    link
}

/// The program of a hook.
pub fn program(object: &Object, hook: u32) -> Result<ProgramMut<'_>> {
    let name = program_name(hook);
    let program = object
        .progs_mut()
        .find(|program| program.name() == name.as_str());
    Ok(program.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, name))?)
}

/// An object's loaded programs: the kernel function of each, and a descriptor.
pub fn programs(object: &Object) -> Vec<(String, OwnedFd)> {
    let named = |program: &Program<'_>| {
        let descriptor = program.as_fd().try_clone_to_owned().ok()?;
        let name = program.name().to_string_lossy().into_owned();
        let function = name.strip_prefix("fimk_").unwrap_or(&name).to_owned();
        Some((function, descriptor))
    };
    object
        .progs()
        .filter(Program::autoload)
        .filter_map(|program| named(&program))
        .collect()
}
