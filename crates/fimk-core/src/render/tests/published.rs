//! The fields that are not ours: each is one of the Elastic Common Schema, of its type there.

use crate::render::{FIELDS, Kind};

/// As ECS 8.17 publishes them: names and types, `[]` where a field holds a list.
const PUBLISHED: &str = "\
@timestamp date
agent.name keyword
agent.version keyword
container.id keyword
ecs.version keyword
error.code keyword
error.message match_only_text
event.action keyword
event.category keyword[]
event.created date
event.end date
event.kind keyword
event.outcome keyword
event.sequence long
event.severity long
event.start date
event.type keyword[]
file.attributes keyword[]
file.ctime date
file.device keyword
file.directory keyword
file.extension keyword
file.gid keyword
file.group keyword
file.hash.md5 keyword
file.hash.sha1 keyword
file.hash.sha256 keyword
file.hash.sha512 keyword
file.inode keyword
file.mode keyword
file.mtime date
file.name keyword
file.owner keyword
file.path keyword
file.size long
file.target_path keyword
file.type keyword
file.uid keyword
host.boot.id keyword
host.name keyword
message match_only_text
process.args keyword[]
process.command_line wildcard
process.executable keyword
process.name keyword
process.parent.executable keyword
process.parent.name keyword
process.parent.pid long
process.parent.start date
process.pid long
process.start date
tags keyword[]
user.id keyword
user.name keyword
";

#[test]
fn every_field_that_is_not_ours_is_one_of_ecs_and_of_its_type() {
    let published = || PUBLISHED.lines().filter_map(|line| line.split_once(' '));
    for (name, kind) in FIELDS {
        if name.starts_with("fimk.") {
            continue;
        }
        let found = published().find(|(known, _)| *known == name);
        let (_, of) = found.unwrap_or_else(|| panic!("{name} is no field of ECS"));
        let wanted: &[Kind] = match of {
            "keyword" | "match_only_text" | "wildcard" => &[Kind::Text],
            "keyword[]" => &[Kind::Texts],
            "date" => &[Kind::Time],
            "long" => &[Kind::Integer],
            other => panic!("{name} is {other}"),
        };
        assert!(wanted.contains(&kind), "{name} is {of}, and not {kind:?}");
    }
}
