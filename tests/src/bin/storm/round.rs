//! One round: a storm, its sabotage, and the verdict.

use std::{
    env, fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fimk_tests::{Disk, Expect, Site, rule};

use crate::{
    deed::{Deed, follow_directories},
    saboteur,
    state::{self, Kept},
    subject::Subject,
    verdict::{How, LAST, Told},
};

/// The first word of a writer's command line.
pub const WRITER: &str = "--writer";
const WRITERS: u64 = 3;
/// Sentences of a kind in a failure message.
const SHOWN: usize = 6;

/// What a round came to.
pub struct Outcome {
    pub summary: String,
    /// Nothing: all is well.
    pub wrong: Vec<String>,
    /// What was done to fimk, and when.
    pub sabotage: Vec<String>,
    /// Starts, ends, gaps and losses.
    pub lives: Vec<String>,
    /// What both processes logged.
    pub errors: String,
    /// Everything that was done.
    pub deeds: Vec<String>,
    /// Everything that was told.
    pub events: Vec<String>,
}

impl Outcome {
    /// For whoever has to find out.
    pub fn account(&self) -> String {
        let lines: Vec<&str> = self.errors.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        format!(
            "    {}\nsabotage:\n    {}\nlives:\n    {}\nlogged:\n{tail}",
            self.wrong.join("\n    "),
            self.sabotage.join("\n    "),
            self.lives.join("\n    ")
        )
    }
}

/// Writers that run.
struct Storm(Vec<Child>);

impl Storm {
    fn begin(site: &Site, seed: u64, time: Duration) -> Self {
        let program = env::current_exe().expect("it runs");
        let writers = (0..WRITERS).map(|number| {
            let home = site.file(&format!("writer-{number}"));
            Command::new(&program)
                .arg(WRITER)
                .args([&home, &site.file("hot")])
                .args([
                    (seed * WRITERS + number).to_string(),
                    time.as_millis().to_string(),
                ])
                .stdout(Stdio::piped())
                .spawn()
                .expect("it is this program")
        });
        Self(writers.collect())
    }

    /// Waits for their ends; all that they did.
    fn end(self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for mut writer in self.0 {
            let mut text = String::new();
            let mut output = writer.stdout.take().expect("it is piped");
            output
                .read_to_string(&mut text)
                .expect("a writer prints text");
            assert!(
                writer.wait().is_ok_and(|status| status.success()),
                "a writer failed"
            );
            let lines = text.lines();
            let mut own: Vec<Deed> = lines
                .map(|line| line.parse().expect("a writer prints deeds"))
                .collect();
            follow_directories(&mut own);
            deeds.append(&mut own);
        }
        deeds
    }
}

/// Runs a round.
pub fn run(seed: u64, service: bool, seconds: u64, scale: u32) -> Outcome {
    let site = Site::new();
    for number in 0..WRITERS {
        fs::create_dir(site.file(&format!("writer-{number}"))).expect("it is ours");
    }
    let hot = site.write("hot", "");
    let config = rule(&[&site.files()]).replace("\"stdout\"", "\"stdout\"\nseverity = 0");
    let disk = Disk::at(&site.state(), "a full disk in a storm");
    let mut subject = Subject::start(site.launch(&config), disk, service);
    let time = scale * Duration::from_secs(seconds);
    let begun = Instant::now();
    let storm = Storm::begin(&site, seed, time);
    let sabotage = saboteur::run(&mut subject, seed, scale, begun + time);
    let deeds = storm.end();
    let mut wrong = settle(&site, &mut subject, &deeds);
    subject.stop();
    let told = Told::new(subject.events(), &deeds);
    wrong.extend(judge(&site, &subject, &told, &deeds, &hot));
    let count = |how| deeds.iter().filter(|deed| told.how(deed) == how).count();
    Outcome {
        summary: format!(
            "{} changes: {} by events, {} found, {} in windows alone, {} missed; {} lives",
            deeds.len(),
            count(How::Event),
            count(How::Found),
            count(How::Window),
            count(How::Missed),
            subject.lives()
        ),
        wrong,
        sabotage,
        lives: told.lives(),
        errors: subject.errors(),
        deeds: deeds.iter().map(ToString::to_string).collect(),
        events: subject
            .events()
            .iter()
            .map(|it| format!("{it:?}"))
            .collect(),
    }
}

/// Waits until fimk works again, and has told of everything.
fn settle(site: &Site, subject: &mut Subject, deeds: &[Deed]) -> Vec<String> {
    let last = site.write(LAST, "the end\n");
    let told = Expect::action("created").of(&last);
    if !subject.until(|it| it.events().iter().any(|event| told.is_met_by(event))) {
        return vec!["it does not tell of the last file: it does not work any more".to_owned()];
    }
    subject.until(|it| {
        let told = Told::new(it.events(), deeds);
        deeds.iter().all(|deed| told.how(deed) != How::Missed)
    });
    Vec::new()
}

fn judge(site: &Site, subject: &Subject, told: &Told, deeds: &[Deed], hot: &Path) -> Vec<String> {
    let mut wrong = subject.faults.clone();
    if subject.errors().contains("panicked at") {
        wrong.push("it panicked".to_owned());
    }
    some(
        &mut wrong,
        subject
            .malformed()
            .into_iter()
            .map(|line| format!("no JSON: {line:?}"))
            .collect(),
    );
    let missed = deeds.iter().filter(|deed| told.how(deed) == How::Missed);
    some(
        &mut wrong,
        missed
            .map(|deed| format!("missed: {deed}\n{}", told.account(deed)))
            .collect(),
    );
    some(&mut wrong, told.wrongly_named(deeds));
    match Kept::read(&site.state(), &site.outside("copy")) {
        Err(error) => wrong.push(format!("the database: {error}")),
        Ok(kept) => {
            let differing = state::compare(&kept, &site.files());
            let stories = differing.iter().map(|(path, how)| {
                format!("{}: {how}\n{}", path.display(), story(path, told, deeds))
            });
            some(&mut wrong, stories.collect());
            some(
                &mut wrong,
                state::sequences(&subject.events(), kept.next_sequence),
            );
        }
    }
    let by_event = |deed: &&Deed| deed.path == hot && told.how(deed) == How::Event;
    if told.counted(hot) == 0 && deeds.iter().any(|deed| by_event(&deed)) {
        wrong.push("nothing was counted of the file that all write to".to_owned());
    }
    wrong
}

/// What was done last to a path, and what was told of it.
fn story(path: &Path, told: &Told, deeds: &[Deed]) -> String {
    let is_about = |deed: &&Deed| deed.path == path || deed.later.iter().any(|later| later == path);
    let Some(last) = deeds.iter().rfind(is_about) else {
        return "        nobody did anything to it".to_owned();
    };
    format!("        last: {last}\n{}", told.account(last))
}

/// The first few, and how many more there are.
fn some(wrong: &mut Vec<String>, mut sentences: Vec<String>) {
    let more = sentences.len().saturating_sub(SHOWN);
    sentences.truncate(SHOWN);
    wrong.append(&mut sentences);
    if more > 0 {
        wrong.push(format!("… and {more} more of these"));
    }
}
