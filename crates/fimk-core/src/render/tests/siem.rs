//! The recipes in packaging/siem: each file is of its form, and names no field that there is not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use toml::Table;

use crate::render::{FIELDS, Kind};

macro_rules! recipe {
    ($name:literal) => {
        include_str!(concat!("../../../../../packaging/siem/", $name))
    };
}

const VECTOR: [&str; 3] = [
    recipe!("vector/elasticsearch.toml"),
    recipe!("vector/loki.toml"),
    recipe!("vector/splunk-hec.toml"),
];

fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|(field, _)| *field == name)
}

/// Those of `{{ … }}` in a text.
fn placeholders(text: &str) -> Vec<&str> {
    let begun = text.split("{{").skip(1);
    let names = begun.filter_map(|rest| Some(rest.split_once("}}")?.0.trim()));
    names.collect()
}

#[test]
fn elasticsearch_is_told_the_type_of_every_field_and_of_no_other() {
    let template: Value =
        serde_json::from_str(recipe!("elastic/index-template.json")).expect("it is JSON");
    let mut types = BTreeMap::new();
    gather(
        "",
        &template["template"]["mappings"]["properties"],
        &mut types,
    );
    let known: BTreeSet<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        types.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );
    for (name, kind) in FIELDS {
        let fits: &[&str] = match kind {
            Kind::Text => &["keyword", "wildcard", "match_only_text"],
            Kind::Texts => &["keyword"],
            Kind::Time => &["date"],
            Kind::Integer => &["long"],
            Kind::Flag => &["boolean"],
            Kind::Objects | Kind::TextMap | Kind::IntegerMap | Kind::IntegerMaps => &["flattened"],
        };
        assert!(
            fits.contains(&types[name].as_str()),
            "{name}: {}",
            types[name]
        );
    }
    let index = template["index_patterns"][0].as_str().expect("a pattern");
    let filebeat = recipe!("elastic/filebeat.yml");
    let beginning = index.trim_end_matches('*');
    assert!(filebeat.contains(&format!("index: \"{beginning}default\"")));
    assert!(!filebeat.contains('\t'), "YAML has no tabs");
    let sink: Table = recipe!("vector/elasticsearch.toml")
        .parse()
        .expect("it is TOML");
    let stream = &sink["sinks"]["fimk_elastic"]["data_stream"];
    let name = ["type", "dataset", "namespace"].map(|it| stream[it].as_str().expect("a word"));
    assert_eq!(name.join("-"), format!("{beginning}default"));
}

/// The types of a mapping, by dotted names.
fn gather(prefix: &str, properties: &Value, types: &mut BTreeMap<String, String>) {
    for (name, value) in properties.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value["type"].as_str() {
            Some(kind) => drop(types.insert(name, kind.to_owned())),
            None => gather(&format!("{name}."), &value["properties"], types),
        }
    }
}

#[test]
fn vector_reads_our_file_and_each_sink_takes_what_is_read() {
    let source: Table = recipe!("vector/source.toml").parse().expect("it is TOML");
    let inputs = &source["transforms"]["fimk"]["inputs"];
    assert_eq!(inputs[0].as_str(), Some("fimk_file"));
    let path = source["sources"]["fimk_file"]["include"][0].as_str();
    assert_eq!(path, Some("/var/log/fimk/events.json"));
    for text in VECTOR {
        let sink: Table = text.parse().expect("it is TOML");
        let sinks = sink["sinks"].as_table().expect("a table");
        for (name, sink) in sinks {
            assert_eq!(sink["inputs"][0].as_str(), Some("fimk"), "{name}");
            assert_eq!(
                sink["buffer"]["when_full"].as_str(),
                Some("block"),
                "{name}"
            );
        }
        for field in placeholders(text) {
            assert!(is_field(field), "{field}");
        }
        for line in text.lines() {
            if let Some(field) = line.strip_prefix("host_key = ") {
                assert!(is_field(field.trim_matches('"')), "{line}");
            }
        }
    }
}

/// The names of elements, and their attributes, of XML as these files have it; panics where it is not well-formed.
fn elements(text: &str) -> Vec<(String, BTreeMap<String, String>, String)> {
    let (mut open, mut all) = (Vec::<String>::new(), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!open.is_empty() || before.trim().is_empty(), "{before}");
        if let Some(comment) = after.strip_prefix("!--") {
            let (inside, after) = comment.split_once("-->").expect("a comment ends");
            assert!(!inside.contains("--"), "{inside}");
            rest = after;
            continue;
        }
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(
                open.pop().as_deref(),
                Some(name),
                "what ends was begun last"
            );
            continue;
        }
        let (name, words) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes = BTreeMap::new();
        let mut words = words.trim();
        while let Some((name, after)) = words.split_once("=\"") {
            let (value, after) = after.split_once('"').expect("a value ends");
            attributes.insert(name.to_owned(), value.to_owned());
            words = after.trim_start();
        }
        assert!(words.is_empty(), "{tag}");
        let inside = rest.split('<').next().unwrap_or_default().to_owned();
        open.push(name.to_owned());
        all.push((name.to_owned(), attributes, inside));
    }
    assert!(open.is_empty(), "{open:?} is not ended");
    all
}

#[test]
fn the_rules_of_wazuh_give_every_severity_one_level_and_name_fields_that_there_are() {
    let agent = elements(recipe!("wazuh/ossec.conf"));
    let inside = |name: &str| agent.iter().find(|it| it.0 == name).map(|it| it.2.as_str());
    assert_eq!(inside("log_format"), Some("json"));
    assert_eq!(inside("label"), Some("fimk"));
    let rules = elements(recipe!("wazuh/fimk_rules.xml"));
    let mut ids = BTreeSet::new();
    let mut severities = Vec::new();
    for (name, attributes, inside) in &rules {
        match name.as_str() {
            "rule" => {
                let id: u32 = attributes["id"].parse().expect("a number");
                assert!((100_000..=120_000).contains(&id) && ids.insert(id), "{id}");
                let level: u32 = attributes["level"].parse().expect("a number");
                assert!(level <= 15, "{level}");
            }
            "if_sid" => {
                let known = |id: &str| id.parse().is_ok_and(|id| ids.contains(&id));
                assert!(inside.split(',').all(known), "{inside}");
            }
            "field" => {
                let field = &attributes["name"];
                assert!(is_field(field) || field == "@source", "{field}");
                if field == "event.severity" {
                    severities.push(inside.clone());
                }
            }
            "description" => {
                let begun = inside.split("$(").skip(1);
                let mut names = begun.filter_map(|rest| Some(rest.split_once(')')?.0));
                assert!(names.all(is_field), "{inside}");
            }
            _ => {}
        }
    }
    let patterns: Vec<regex_automata::meta::Regex> = severities
        .iter()
        .map(|text| regex_automata::meta::Regex::new(text).expect("it is one"))
        .collect();
    for severity in 1..=100u32 {
        let fits = patterns
            .iter()
            .filter(|it| it.is_match(&severity.to_string()));
        assert_eq!(fits.count(), 1, "{severity}");
    }
    assert!(patterns.iter().all(|it| !it.is_match("0")));
}

#[test]
fn splunk_and_alloy_read_our_file_and_name_fields_that_there_are() {
    let props = recipe!("splunk/props.conf");
    let mut aliases = 0;
    for line in props.lines().filter(|line| line.starts_with("FIELDALIAS-")) {
        let (_, alias) = line.split_once(" = ").expect("an alias");
        let (field, _) = alias.split_once(" AS ").expect("of a field");
        assert!(is_field(field), "{field}");
        aliases += 1;
    }
    assert!(aliases > 3 && props.contains("[fimk:json]"));
    let path = "/var/log/fimk/events.json";
    assert!(recipe!("splunk/inputs.conf").contains(&format!("[monitor://{path}]")));
    assert!(recipe!("splunk/inputs.conf").contains("sourcetype = fimk:json"));
    let alloy = recipe!("loki/fimk.alloy");
    assert!(alloy.contains(&format!("\"__path__\" = \"{path}\"")));
    assert_eq!(alloy.matches('{').count(), alloy.matches('}').count());
    for field in ["@timestamp", "event.action", "host.name"] {
        assert!(is_field(field) && alloy.contains(field), "{field}");
    }
    assert!(recipe!("elastic/filebeat.yml").contains(path));
}

#[test]
fn the_recipes_begin_with_outputs_that_there_are() {
    let readme = recipe!("README.md");
    let blocks = readme.split("```toml\n").skip(1);
    let mut outputs: Vec<String> = blocks
        .filter_map(|block| Some(block.split_once("```")?.0.to_owned()))
        .collect();
    for daemon in [
        recipe!("rsyslog/50-fimk.conf"),
        recipe!("syslog-ng/fimk.conf"),
    ] {
        let lines = daemon.lines().filter_map(|line| line.strip_prefix("#   "));
        outputs.push(lines.collect::<Vec<_>>().join("\n"));
    }
    assert!(outputs.len() > 2);
    for output in outputs {
        let text = format!("[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n{output}");
        let parsed = crate::config::parse(&text, "recipe");
        assert!(parsed.is_ok(), "{output}: {parsed:?}");
    }
}
