//! No event, however made, gives a line that is too long or not valid.

use proptest::prelude::*;

use super::*;

/// Up to three times a line, of characters that take one byte in it or six.
fn huge() -> impl Strategy<Value = String> {
    (
        prop_oneof!["a", "\n", "\u{1}", "é", "\u{2028}", "\\\\", "\""],
        0_usize..200_000,
    )
        .prop_map(|(unit, bytes)| unit.repeat(bytes / unit.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_event_makes_a_line_too_long(
        texts in proptest::collection::vec(huge(), 6),
        many in 0_usize..20_000,
        which in 0_u32..256,
    ) {
        let mut monster = full();
        let on = |bit: u32| which & (1 << bit) != 0;
        let path = |text: &String| BytePath::new(text.as_bytes());
        if on(0) { monster.file.path = path(&texts[0]); }
        if on(1) { monster.previous_path = Some(path(&texts[1])); monster.new_path = Some(path(&texts[2])); }
        if on(2) { monster.changes = vec![difference("shell", "a", "b"); many]; }
        if on(3) { monster.diff = Some(texts[3].clone()); monster.rule.clone_from(&texts[0]); }
        if on(4) { monster.rules = vec![texts[4].chars().take(64).collect(); many]; monster.tags = monster.rules.clone(); }
        if on(5) && let Some(actor) = &mut monster.actor {
            actor.process = process(7, &texts[5]);
            actor.process.args = vec![texts[0].chars().take(40).collect(); many];
            actor.ancestors = vec![actor.process.clone(); 3];
            actor.user = Some(texts[1].clone());
            monster.actors = vec![actor.clone(); 3];
        }
        if on(6) { monster.file.owner = Some(texts[2].clone()); monster.file.group = Some(texts[1].clone()); }
        if on(7) { monster.truncated = vec![texts[4].clone(); 100]; monster.operations = vec!["write".into(); many]; }
        let mut monster = changed(monster);
        if on(6) { monster.boot.clone_from(&texts[3]); }
        parsed(&monster);

        for bytes_max in [1_024, 1_400, 8_192, 65_507] {
            let line = ecs_line_within(&monster, &Host { name: texts[2].clone() }, bytes_max);
            prop_assert!(line.len() <= bytes_max);
            let short = serde_json::from_str::<Value>(&line).expect("JSON");
            prop_assert_eq!(&short["event"]["action"], "modified");
            let is_whole = line == ecs_line(&monster, &Host { name: texts[2].clone() });
            prop_assert!(is_whole || !short["fimk"]["truncated"].is_null());
        }

        let pairs = || (0..many).map(|number| format!("{number}"));
        let notice = Notice {
            message: texts[0].clone(),
            plan: pairs().map(|key| (key, texts[1].chars().take(9).collect())).collect(),
            counts: pairs().map(|key| (key, 1)).collect(),
            lost: pairs().map(|key| (key, vec![(texts[0].chars().take(9).collect(), 1)])).collect(),
            gap: None,
            config_digest: None,
        };
        let line = ecs_line(&event(Action::EventsLost, Body::Notice(notice)), &Host { name: texts[2].clone() });
        prop_assert!(line.len() <= LINE_BYTES_MAX);
        prop_assert!(serde_json::from_str::<Value>(&line).is_ok());
    }

    #[test]
    fn any_bytes_make_one_valid_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut odd = change();
        odd.file.path = BytePath::new(&[b"/", &bytes[..]].concat());
        odd.actor = Some(Actor { process: process(9, &String::from_utf8_lossy(&bytes)), ..Actor::default() });
        parsed(&changed(odd));
    }
}
