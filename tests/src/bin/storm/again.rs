//! The verdict on a round that was kept.

use std::{collections::BTreeMap, fs, path::Path};

use fimk_tests::Event;

use crate::{
    deed::{Deed, follow_directories},
    verdict::{How, Told},
};

/// Prints what was missed or named wrongly, of the files `BASE.deeds` and `BASE.events`. Whether nothing was.
pub fn judge(base: &Path) -> bool {
    let read = |extension| fs::read_to_string(base.with_extension(extension)).unwrap_or_default();
    let mut by_writer: BTreeMap<u32, Vec<Deed>> = BTreeMap::new();
    for deed in read("deeds")
        .lines()
        .filter_map(|line| line.parse::<Deed>().ok())
    {
        by_writer.entry(deed.pid).or_default().push(deed);
    }
    for own in by_writer.values_mut() {
        follow_directories(own);
    }
    let deeds: Vec<Deed> = by_writer.into_values().flatten().collect();
    let told = Told::new(
        read("events").lines().filter_map(Event::parse).collect(),
        &deeds,
    );
    let missed = deeds.iter().filter(|deed| told.how(deed) == How::Missed);
    let mut wrong: Vec<String> = missed.map(|deed| format!("missed: {deed}")).collect();
    wrong.extend(told.wrongly_named(&deeds));
    println!("{} of {} changes:", wrong.len(), deeds.len());
    for it in &wrong {
        println!("    {it}");
    }
    wrong.is_empty() && !deeds.is_empty()
}
