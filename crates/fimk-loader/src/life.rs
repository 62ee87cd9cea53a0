//! Signs of life from within one long piece of work, which keeps the loop from giving its own: to bring up a source takes longer
//! than systemd waits on a slow machine. Each step of it gives one, in the thread that does the work: no other has anybody to
//! tell, so a step that hangs is silent.

use std::cell::RefCell;
use std::mem;

use crate::notify::Notify;

thread_local! {
    static LENT: RefCell<Notify> = RefCell::default();
}

/// Does `work`, in whose steps this thread gives signs of life by [`sign`].
pub fn lent<T>(notify: &mut Notify, work: impl FnOnce() -> T) -> T {
    LENT.replace(mem::take(notify));
    let done = work();
    *notify = LENT.take();
    done
}

/// A step is done: a sign is given if it is time.
pub fn sign() {
    LENT.with_borrow_mut(Notify::beat);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_step_of_a_long_work_gives_a_sign_in_its_own_thread_alone() {
        let (systemd, ours) = UnixDatagram::pair().unwrap();
        systemd.set_nonblocking(true).unwrap();
        let said = || {
            let mut buffer = [0; 32];
            let length = systemd.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        // So often that it is always time.
        let mut notify = Notify::over(ours, Some(Duration::ZERO));
        sign();
        assert_eq!(said(), None, "nothing is lent yet");
        let done = lent(&mut notify, || {
            thread::spawn(sign).join().unwrap();
            assert_eq!(
                said(),
                None,
                "another thread's steps say nothing of this one's"
            );
            sign();
            assert_eq!(said().as_deref(), Some("WATCHDOG=1"));
            7
        });
        assert_eq!(done, 7);
        sign();
        assert_eq!(said(), None, "it is given back");
        notify.beat();
        assert_eq!(said().as_deref(), Some("WATCHDOG=1"));
    }
}
