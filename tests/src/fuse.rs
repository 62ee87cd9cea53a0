//! A file system whose server does not answer when a file is read.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Of `linux/fuse.h`: each request is a header of 40 bytes (length, operation, number, object) and what the operation
/// wants; each answer one of 16 (length, error, number).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// Objects: the root, and the one file in it.
const ROOT: u64 = 1;
const FILE: u64 = 2;

/// What the file holds once it is read.
pub const CONTENT: &str = "at last\n";

/// A mounted file system with one file, `stuck`. Unmounted when dropped.
pub struct Silent {
    point: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: bool,
    /// Numbers of the reads that wait.
    waiting: Vec<u64>,
}

impl Silent {
    /// Mounts it.
    ///
    /// # Errors
    /// Where the kernel has no FUSE or does not let us.
    pub fn mount(point: &Path) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("silent"), point, Some("fuse"), flags, Some(&*options))?;
        let state = Arc::new(Mutex::new(State::default()));
        let of_server = Arc::clone(&state);
        thread::spawn(move || serve(device, &of_server));
        Ok(Self {
            point: point.to_owned(),
            state,
        })
    }

    /// The file that cannot be read.
    pub fn file(&self) -> PathBuf {
        self.point.join("stuck")
    }

    /// Whether somebody waits for an answer.
    pub fn is_read(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// From now on reads are answered, those that wait too.
    pub fn answer(&self) {
        lock(&self.state).answers = true;
        // Any request wakes the server, which then answers those that wait.
        let _ = std::fs::symlink_metadata(self.point.join("nothing"));
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until it is unmounted.
fn serve(mut device: File, state: &Mutex<State>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length) = device.read(&mut buffer) {
        let Some(request) = Request::of(&buffer[..length]) else {
            return;
        };
        let answers = {
            let mut state = lock(state);
            if request.operation == READ && !state.answers {
                state.waiting.push(request.number);
                continue;
            }
            if state.answers {
                std::mem::take(&mut state.waiting)
            } else {
                Vec::new()
            }
        };
        for number in answers {
            let _ = device.write_all(&answer(number, Ok(CONTENT.as_bytes().to_vec())));
        }
        if let Some(body) = request.body() {
            // A request that was interrupted takes no answer.
            let _ = device.write_all(&answer(request.number, body));
        }
    }
}

fn answer(number: u64, body: Result<Vec<u8>, i32>) -> Vec<u8> {
    let (error, body) = match body {
        Ok(body) => (0, body),
        Err(error) => (-error, Vec::new()),
    };
    let length = u32::try_from(16 + body.len()).expect("answers are small");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(error.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(body);
    bytes
}

struct Request {
    operation: u32,
    number: u64,
    object: u64,
    rest: Vec<u8>,
}

impl Request {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(40)?;
        Some(Self {
            operation: u32::from_ne_bytes(header[4..8].try_into().ok()?),
            number: u64::from_ne_bytes(header[8..16].try_into().ok()?),
            object: u64::from_ne_bytes(header[16..24].try_into().ok()?),
            rest: rest.to_vec(),
        })
    }

    /// None where no answer is expected.
    fn body(&self) -> Option<Result<Vec<u8>, i32>> {
        Some(match self.operation {
            FORGET | INTERRUPT => return None,
            INIT => Ok(init()),
            LOOKUP if self.rest == b"stuck\0" => Ok(entry()),
            LOOKUP => Err(ENOENT),
            // What is set stays as it is, and nobody is told.
            GETATTR | SETATTR => Ok([vec![0; 16], attributes(self.object)].concat()),
            OPEN | OPENDIR => Ok(vec![0; 16]),
            READ => Ok(if self.offset() == 0 {
                CONTENT.as_bytes().to_vec()
            } else {
                Vec::new()
            }),
            READDIR => Ok(if self.offset() == 0 {
                names()
            } else {
                Vec::new()
            }),
            RELEASE | RELEASEDIR | FLUSH => Ok(Vec::new()),
            STATFS => Ok(vec![0; 80]),
            _ => Err(ENOSYS),
        })
    }

    fn offset(&self) -> u64 {
        let offset = self.rest.get(8..16).and_then(|it| it.try_into().ok());
        offset.map_or(0, u64::from_ne_bytes)
    }
}

/// Version 7.31 of the interface, and nothing special.
fn init() -> Vec<u8> {
    let mut body: Vec<u8> = [7u32, 31, 0, 0]
        .iter()
        .flat_map(|it| it.to_ne_bytes())
        .collect();
    body.extend([0; 4]);
    body.extend(4096u32.to_ne_bytes());
    body.resize(64, 0);
    body
}

fn entry() -> Vec<u8> {
    let mut body = FILE.to_ne_bytes().to_vec();
    body.resize(40, 0);
    body.extend(attributes(FILE));
    body
}

fn attributes(object: u64) -> Vec<u8> {
    let (mode, size): (u32, u64) = if object == ROOT {
        (0o040_755, 0)
    } else {
        (0o100_644, CONTENT.len() as u64)
    };
    let mut body: Vec<u8> = [object, size, 0, 0, 0, 0]
        .iter()
        .flat_map(|it| it.to_ne_bytes())
        .collect();
    let numbers = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
    body.extend(numbers.iter().flat_map(|it: &u32| it.to_ne_bytes()));
    body
}

/// One entry: object, the place behind it, length and kind of its name, the name, filled up to 8 bytes.
fn names() -> Vec<u8> {
    let mut body = FILE.to_ne_bytes().to_vec();
    body.extend(1u64.to_ne_bytes());
    body.extend(5u32.to_ne_bytes());
    body.extend(8u32.to_ne_bytes());
    body.extend(b"stuck\0\0\0");
    body
}
