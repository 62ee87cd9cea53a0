//! A directory that this kernel exports over NFS and mounts, with a server that can go away and come back.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::ran::{attempt, text};

/// The kernel asks for these entries by an upcall, which nobody answers here: the client, what is exported, and by which handle.
/// Each ends in the far future. The flags are `NFSEXP_INSECURE_PORT`, `NFSEXP_ASYNC`, `NFSEXP_NOSUBTREECHECK`, `NFSEXP_FSID`.
const SERVE: &str = r"
    echo 'tcp 2049' >$nfsd/portlist &&
    echo 1 >$nfsd/threads &&
    { echo Y >$nfsd/v4_end_grace || echo 'clients wait until those of before are back'; } &&
    printf '%s\n' 'nfsd 127.0.0.1 2147483647 fimk' >/proc/net/rpc/auth.unix.ip/channel &&
    printf '%s\n' 'fimk '$exported' 2147483647 9234 65534 65534 0' >/proc/net/rpc/nfsd.export/channel &&
    printf '%s\n' 'fimk 1 \x00000000 2147483647 '$exported >/proc/net/rpc/nfsd.fh/channel
";

/// Version 4 alone needs no other service.
const PREPARE: &str = r"
    ip link set lo up &&
    mount -t nfsd nfsd $nfsd &&
    echo '-3 +4' >$nfsd/versions &&
    echo 10 >$nfsd/nfsv4leasetime &&
    echo 10 >$nfsd/nfsv4gracetime
";

/// Nothing is remembered of attributes, so that every look asks the server, and who asks waits for ever.
const MOUNT: &str = r"
    mount -i -t nfs4 -o vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1,hard,actimeo=0,timeo=20,retrans=1 127.0.0.1:/ $point
";

const STOP: &str = "echo 0 >$nfsd/threads";

/// The mounted export. Its server has a network of its own. All ends when it is dropped.
pub struct Nfs {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    nfsd: String,
    point: String,
}

impl Nfs {
    /// Exports a directory and mounts it at `point`; `nfsd` is where the server is told what to do. All are there.
    ///
    /// # Errors
    /// Why that cannot be had here.
    pub fn mount(export: &Path, nfsd: &Path, point: &Path) -> Result<Self, String> {
        let mut shell = Command::new("unshare")
            .args(["--net", "sh"])
            .env("exported", export)
            .env("nfsd", nfsd)
            .env("point", point)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no unshare: {error}"))?;
        let stdout = shell.stdout.take().expect("it is piped");
        let mut nfs = Self {
            orders: shell.stdin.take(),
            answers: BufReader::new(stdout).lines(),
            shell,
            nfsd: text(nfsd).to_owned(),
            point: text(point).to_owned(),
        };
        for step in [PREPARE, SERVE, MOUNT] {
            nfs.order(step)?;
        }
        Ok(nfs)
    }

    /// Has the shell in the server's network do this; what it said if it failed.
    fn order(&mut self, script: &str) -> Result<(), String> {
        let orders = self
            .orders
            .as_mut()
            .expect("it is open until it is dropped");
        let script = format!("{{ {} ; }} 2>&1; echo \"@@ $?\"\n", script.trim());
        let given = orders.write_all(script.as_bytes());
        given.map_err(|error| format!("the shell is gone: {error}"))?;
        let mut said = Vec::new();
        for line in self.answers.by_ref() {
            let line = line.unwrap_or_default();
            match line.strip_prefix("@@ ") {
                Some("0") => return Ok(()),
                Some(_) => break,
                None => said.push(line),
            }
        }
        Err(said.join("; "))
    }

    /// The server goes away: whoever asks it for anything waits.
    pub fn stop_server(&mut self) {
        self.order(STOP).expect("it runs");
    }

    /// It is back.
    pub fn start_server(&mut self) {
        self.order(SERVE).expect("it ran before");
    }
}

impl Drop for Nfs {
    fn drop(&mut self) {
        attempt("umount", &["-f", "-l", &self.point]);
        let _ = self.order(STOP);
        attempt("umount", &[&self.nfsd]);
        self.orders = None;
        let _ = self.shell.wait();
    }
}
