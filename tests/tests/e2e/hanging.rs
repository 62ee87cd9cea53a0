//! What cannot be read for a while holds up nothing else.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use fimk_tests::{
    Event, Expect, Monitor, Site, append_line, fuse::Silent, nfs::Nfs, not_run, rule, run, text,
    which,
};
use nix::{
    fcntl::AT_FDCWD,
    sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags},
    unistd::truncate,
};

/// A program that leases a file and writes to it, and keeps the lease until its standard input ends: whoever wants
/// the file meanwhile is told to come again. The numbers are `F_SETLEASE` and `F_WRLCK`.
const LEASE: &str = r#"
    $SIG{IO} = "IGNORE";
    open(my $file, "+<", $ARGV[0]) or die "open: $!";
    fcntl($file, 1024, 1) or die "lease: $!";
    seek($file, 0, 2);
    syswrite($file, "two\n") or die "write: $!";
    $| = 1;
    print "leased\n";
    my $line = <STDIN>;
"#;

/// The leaseholder, once it has the lease.
fn lease(path: &Path) -> Child {
    use std::io::{BufRead as _, BufReader};
    let mut holder = Command::new("perl")
        .args(["-e", LEASE, text(path)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("perl can be executed");
    let mut said = String::new();
    let stdout = holder.stdout.take().expect("it is piped");
    let heard = BufReader::new(stdout).read_line(&mut said);
    assert!(heard.is_ok() && said == "leased\n", "{said}");
    holder
}

fn is_leased(event: &Event) -> bool {
    let unread = event.text("fimk.unread");
    unread.is_some_and(|why| why.contains("leased"))
}

#[test]
fn a_leased_file_is_told_unread_and_read_when_the_lease_ends() {
    let name = "a_leased_file_is_told_unread_and_read_when_the_lease_ends";
    if which("perl".as_ref()).is_none() {
        not_run(name, "there is no perl to hold the lease");
        return;
    }
    let site = Site::new();
    let path = site.write("leased", "one\n");
    let other = site.write("other", "one\n");
    let monitor = site.watch();
    let mut holder = lease(&path);
    let changed = || Expect::action("modified").of(&path);
    monitor.expect(
        changed()
            .without("fimk.diff")
            .and("unread".to_owned(), is_leased),
    );
    let shell = append_line(&other, "two");
    monitor.expect(Expect::action("modified").of(&other).by(&shell).adds("two"));
    holder
        .stdin
        .take()
        .expect("it is piped")
        .write_all(b"\n")
        .expect("it waits");
    assert!(holder.wait().expect("it is ours").success());
    monitor.expect(changed().adds("two"));
    let events = monitor.stop();
    let unread = events.iter().filter(|event| is_leased(event));
    assert_eq!(unread.count(), 1, "it is told once: {events:?}");
}

fn await_hanging(monitor: &Monitor) {
    monitor.expect(
        Expect::action("degraded").and("names what hangs".to_owned(), |event| {
            event
                .text("message")
                .is_some_and(|text| text.contains("hangs"))
        }),
    );
}

#[test]
fn a_file_system_that_does_not_answer_holds_up_nothing_else() {
    let site = Site::new();
    let point = site.file("silent");
    fs::create_dir(&point).expect("it is ours");
    let silent = match Silent::mount(&point) {
        Ok(silent) => silent,
        Err(error) => {
            let name = "a_file_system_that_does_not_answer_holds_up_nothing_else";
            not_run(name, &format!("FUSE cannot be mounted here: {error}"));
            return;
        }
    };
    let path = site.write("other", "one\n");
    let monitor = site.watch();
    assert!(silent.is_read(), "fimk tried\n{}", monitor.account());
    await_hanging(&monitor);
    let shell = append_line(&path, "two");
    monitor.expect(Expect::action("modified").of(&path).by(&shell).adds("two"));
    silent.answer();
    monitor.expect_logged("answers again");
    let shell = append_line(&path, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .by(&shell)
            .adds("three"),
    );
    assert_told_once(&monitor.stop());
}

#[test]
fn what_is_done_to_a_file_that_was_never_read_is_told_once_it_can_be() {
    let name = "what_is_done_to_a_file_that_was_never_read_is_told_once_it_can_be";
    let site = Site::new();
    let point = site.file("silent");
    fs::create_dir(&point).expect("it is ours");
    let silent = match Silent::mount(&point) {
        Ok(silent) => silent,
        Err(error) => {
            not_run(name, &format!("FUSE cannot be mounted here: {error}"));
            return;
        }
    };
    let monitor = site.watch();
    if !monitor.is_bpf() {
        not_run(name, "fanotify is not told of what is done on FUSE");
        // Until it answers the kernel does not let go of who reads there.
        silent.answer();
        monitor.stop();
        return;
    }
    await_hanging(&monitor);
    let path = silent.file();
    let chmod = run("chmod", &["600", text(&path)]);
    silent.answer();
    let changed = Expect::action("attributes_modified").of(&path);
    monitor.expect(changed.by(&chmod).field("fimk.detected_by", "event"));
    monitor.stop();
}

#[test]
fn an_nfs_server_that_goes_away_holds_up_nothing_else_and_what_changed_there_is_told_when_it_is_back()
 {
    let site = Site::new();
    let (exported, point) = (site.outside("exported"), site.file("nfs"));
    let nfsd = site.outside("nfsd");
    for directory in [&exported, &nfsd, &point] {
        fs::create_dir(directory).expect("it is ours");
    }
    fs::write(exported.join("far"), "one\n").expect("it is ours");
    let mut nfs = match Nfs::mount(&exported, &nfsd, &point) {
        Ok(nfs) => nfs,
        Err(why) => {
            let name = "an_nfs_server_that_goes_away_holds_up_nothing_else";
            not_run(
                name,
                &format!("NFS cannot be served or mounted here: {why}"),
            );
            return;
        }
    };
    let (far, other) = (point.join("far"), site.write("other", "one\n"));
    // The server may ask its clients of before to come back first.
    assert_eq!(fs::read(&far).expect("it answers"), b"one\n");
    // So often it is asked whether others changed what they share.
    let monitor = site.start(&format!("scan_interval_s = 1\n{}", rule(&[&site.files()])));
    let changed = |path: &Path| Expect::action("modified").of(path);
    let shell = append_line(&far, "two");
    monitor.expect(changed(&far).by(&shell).adds("two"));
    nfs.stop_server();
    await_hanging(&monitor);
    let shell = append_line(&other, "two");
    monitor.expect(changed(&other).by(&shell).adds("two"));
    fs::write(exported.join("far"), "one\ntwo\nthree\n").expect("it is the server's");
    nfs.start_server();
    monitor.expect_logged("answers again");
    monitor.expect(changed(&far).adds("three").without("process"));
    let shell = append_line(&far, "four");
    monitor.expect(changed(&far).by(&shell).adds("four"));
    assert_told_once(&monitor.stop());
}

fn assert_told_once(events: &[Event]) {
    let told = events.iter().filter(|event| {
        event.action() == "degraded"
            && event
                .text("message")
                .is_some_and(|text| text.contains("hangs"))
    });
    assert_eq!(told.count(), 1, "it is told once: {events:?}");
}

/// Another product that is asked before this file is opened, and never answers: while it lives, who opens it hangs.
fn never_permit(path: &Path) -> nix::Result<Fanotify> {
    let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC;
    let product = Fanotify::init(flags, EventFFlags::O_RDONLY)?;
    let opening = MaskFlags::FAN_OPEN_PERM;
    product.mark(MarkFlags::FAN_MARK_ADD, opening, AT_FDCWD, Some(path))?;
    Ok(product)
}

#[test]
fn another_product_that_never_permits_an_open_holds_up_nothing_else() {
    let site = Site::new();
    let (path, other) = (
        site.write("stuck", "one\ntwo\n"),
        site.write("other", "one\n"),
    );
    let monitor = site.watch();
    let product = match never_permit(&path) {
        Ok(product) => product,
        Err(error) => {
            let name = "another_product_that_never_permits_an_open_holds_up_nothing_else";
            not_run(name, &format!("no permission events here: {error}"));
            return;
        }
    };
    // By its name, for whoever opens it hangs.
    truncate(&path, 4).expect("it is ours");
    await_hanging(&monitor);
    let shell = append_line(&other, "two");
    monitor.expect(Expect::action("modified").of(&other).by(&shell).adds("two"));
    truncate(&path, 0).expect("it is ours");
    let shell = append_line(&other, "three");
    monitor.expect(
        Expect::action("modified")
            .of(&other)
            .by(&shell)
            .adds("three"),
    );
    drop(product);
    monitor.expect(
        Expect::action("modified")
            .of(&path)
            .removes("one")
            .field("file.size", 0),
    );
    assert_told_once(&monitor.stop());
}
