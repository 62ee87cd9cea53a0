//! A program that takes long.

use libbpf_rs::{MapCore, MapFlags, MapHandle, Object, Result};

/// A program that lasts for some ticks of the kernel; see `preempt.rs`.
pub struct Linger {
    object: Object,
    variables: MapHandle,
}

impl Linger {
    /// Needs Linux 5.14, which can run a program by hand.
    pub fn load() -> Result<Self> {
        const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preempt.bpf.o"));
        let object = libbpf_rs::ObjectBuilder::default()
            .open_memory(OBJECT)?
            .load()?;
        let variables = object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(".bss"))
            .ok_or(std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Ok(Self {
            variables: MapHandle::try_from(&variables)?,
            object,
        })
    }

    /// Runs it to its end.
    pub fn run(&self) -> Result<()> {
        let program = self.object.progs_mut().next();
        let program = program.ok_or(std::io::Error::from(std::io::ErrorKind::NotFound))?;
        program.test_run(libbpf_rs::ProgramInput::default())?;
        Ok(())
    }

    /// Whether it has begun, and whether it has ended.
    pub fn state(&self) -> (bool, bool) {
        let state = self.variables.lookup(&0u32.to_ne_bytes(), MapFlags::ANY);
        let state = state.ok().flatten().unwrap_or_default();
        let is_set = |number: &[u8]| number.iter().any(|&byte| byte != 0);
        let (began, ended) = state.split_at(state.len() / 2);
        (is_set(began), is_set(ended))
    }
}
