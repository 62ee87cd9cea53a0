//! fimk as two services: a loader that listens, and an analyzer that comes to it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
};

use nix::{sys::signal::Signal, unistd::User};

use crate::{Launch, Monitor, Ran, attempt};

/// What systemd does for the analyzer's unit: another user, one capability.
const AS_USER: [&str; 5] = [
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
    "--no-new-privs",
];

impl Launch {
    /// Where the loader listens.
    pub fn handover(&self) -> PathBuf {
        self.config.with_file_name("handover").join("socket")
    }

    /// Starts the loader as a service, and waits until it listens. Its events are its analyzer's to print.
    pub fn serve(&self) -> Monitor {
        let loader = self.serve_without_waiting();
        loader.await_log("waits for an analyzer");
        loader
    }

    /// Starts the loader as a service.
    pub fn serve_without_waiting(&self) -> Monitor {
        let mut command = Command::new(&self.loader);
        command.arg("--handover").arg(self.handover());
        command.arg("--pin-dir").arg(&self.pins);
        command.arg("--user").arg(&self.user);
        command.envs(self.variables.iter().cloned());
        Monitor::spawn(command, self.pins.clone())
    }

    /// Starts an analyzer as `self.user`, and waits until it has started.
    pub fn analyze(&self) -> Monitor {
        let analyzer = self.analyze_without_waiting();
        analyzer.await_start();
        analyzer
    }

    /// Starts an analyzer as `self.user`.
    pub fn analyze_without_waiting(&self) -> Monitor {
        self.analyze_as(&self.user, &self.user)
    }

    /// Starts an analyzer as this user and this group, without waiting for anything.
    pub fn analyze_as(&self, user: &str, group: &str) -> Monitor {
        let mut command = self.analyzer(user, group);
        command.arg("--handover").arg(self.handover());
        if let Some(source) = std::env::var_os("FIMK_SOURCE").filter(|source| !source.is_empty()) {
            command.arg("--source").arg(source);
        }
        Monitor::spawn(command, self.pins.clone())
    }

    /// Starts an analyzer whose loader is whoever has the other end of this descriptor, without waiting for anything.
    pub fn analyze_over(&self, channel: i32) -> Monitor {
        let mut command = self.analyzer(&self.user, &self.user);
        command.arg("--channel").arg(channel.to_string());
        Monitor::spawn(command, self.pins.clone())
    }

    fn analyzer(&self, user: &str, group: &str) -> Command {
        self.make_directories();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", user, "--regid", group])
            .args(AS_USER);
        command
            .arg("--")
            .arg(self.loader.with_file_name("fimk-analyzer"));
        command.arg("--config").arg(&self.config);
        command.arg("--state-dir").arg(&self.state);
        command.arg("--run-dir").arg(&self.run);
        command.envs(self.variables.iter().cloned());
        command
    }

    /// `fimk-loader --detach`.
    pub fn detach(&self) -> Ran {
        let pins = self.pins.to_str().expect("tests use UTF-8 names");
        attempt(&self.loader, &["--detach", "--pin-dir", pins])
    }

    /// As the unit's `StateDirectory` and `RuntimeDirectory`.
    fn make_directories(&self) {
        let user = User::from_name("fimk")
            .ok()
            .flatten()
            .expect("Site::new checks it");
        for directory in [&self.state, &self.run] {
            fs::create_dir_all(directory).expect("it is ours");
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("it is ours");
            chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .expect("we are root");
        }
    }
}

/// Ends both in the order of systemd: the loader last. Panics unless each ends well.
pub fn stop_services(mut loader: Monitor, mut analyzer: Monitor) -> (Monitor, Monitor) {
    for monitor in [&mut analyzer, &mut loader] {
        monitor.signal(Signal::SIGTERM);
        let status = monitor.await_exit();
        assert!(
            status.success(),
            "stopped with {status}\n{}",
            monitor.account()
        );
    }
    (loader, analyzer)
}
