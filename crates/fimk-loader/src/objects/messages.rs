//! What libbpf says of what it could not do.

use std::sync::Mutex;

use fimk_wire::raw;
use libbpf_rs::{ErrorKind, PrintLevel};

use super::program_name;
use crate::life;

/// What libbpf said; told only when a program was expected to load and did not.
static MESSAGES: Mutex<String> = Mutex::new(String::new());

/// A verifier's log ends with its reason; a longer one is cut in front of it, and says enough even so.
const MESSAGES_MAX: usize = 64 * 1024;

/// Keeps what libbpf says from standard error: on many hosts a refusal is no more than a fact to go on from.
pub fn keep_messages() {
    libbpf_rs::set_print(Some((PrintLevel::Debug, |level, message| {
        // What it says while it goes on tells that it does.
        life::sign();
        if level != PrintLevel::Warn {
            return;
        }
        let mut start = message.len().saturating_sub(MESSAGES_MAX / 2);
        while !message.is_char_boundary(start) {
            start += 1;
        }
        let message = &message[start..];
        if let Ok(mut messages) = MESSAGES.lock()
            && messages.len() + message.len() <= MESSAGES_MAX
        {
            messages.push_str(message);
        }
    })));
}

/// What libbpf said since the last call.
pub fn messages() -> String {
    MESSAGES
        .lock()
        .map(|mut messages| std::mem::take(&mut *messages))
        .unwrap_or_default()
}

/// The hook whose program the verifier refused, by what libbpf said of it.
pub fn hook_blamed(messages: &str) -> Option<u32> {
    (0..raw::FIMK_HOOKS)
        .find(|&hook| messages.contains(&format!("prog '{}': failed to load", program_name(hook))))
}

/// Whether the verifier said something: a kernel that refuses all programs of a kind does not ask it.
pub fn is_of_verifier(messages: &str) -> bool {
    messages.contains("END PROG LOAD LOG")
}

/// The errno nearest to an error of libbpf, for `fimk_ready.error`.
pub fn errno_of(error: &libbpf_rs::Error) -> i32 {
    use nix::libc;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error)
        {
            return number;
        }
        cause = error.source();
    }
    match error.kind() {
        ErrorKind::PermissionDenied => libc::EPERM,
        ErrorKind::NotFound => libc::ENOENT,
        ErrorKind::Unsupported => libc::EOPNOTSUPP,
        ErrorKind::OutOfMemory => libc::ENOMEM,
        ErrorKind::TooBig => libc::E2BIG,
        _ => libc::EINVAL,
    }
}
