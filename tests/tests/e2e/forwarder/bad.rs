//! Receivers that are not as they should be: who they are is not believed, they refuse, close, talk or stall.

use super::receivers::Mood;
use super::*;

/// What an HTTP server of these tests wants.
const AS_IT_WANTS: &str = "headers = [\"Authorization: Bearer s3cret\"]\nbody = \"array\"\ngzip = true\nbatch_ms = 100\ntimeout_ms = 1000\n";

#[test]
fn a_server_with_tls_is_believed_with_a_certificate_that_holds_and_believes_us_with_ours() {
    let test = "HTTP with TLS";
    if !Forwarder::is_possible(test) || !HttpServer::is_here(test) || !Authority::is_possible(test)
    {
        return;
    }
    let site = Site::new();
    let authority = Authority::new(&site);
    let port = free_port();
    let output = |name: &str, more: &str| {
        format!(
            "\n[[output]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"https://127.0.0.1:{port}/in\"\n\
             tls_name = \"logs.example\"\n{AS_IT_WANTS}{more}"
        )
    };
    let ca = format!("tls_ca = \"{}\"\n", authority.file("ca.pem"));
    let own = format!(
        "tls_certificate = \"{}\"\ntls_key = \"{}\"\n",
        authority.file("client.pem"),
        authority.file("client.key")
    );
    let config = format!(
        "{}{}{}{}",
        rule(&[&site.files()]),
        output("ours", &format!("{ca}{own}")),
        output("nobody", &ca),
        output("strangers", "")
    );
    let monitor = site.start(&config);
    let expired = HttpServer::with_tls(&site, port, &authority, "expired");
    let forwarder = Forwarder::start(&site);
    make_names(&site);
    await_problem(&site, "ours", "has expired");
    monitor.expect(Expect::action("degraded").and(
        "the certificate has expired".to_owned(),
        |event| {
            let message = event.text("message").unwrap_or_default();
            message.contains("its certificate has expired: give it a new one")
        },
    ));
    assert!(expired.events().is_empty());
    drop(expired);

    let server = HttpServer::with_tls(&site, port, &authority, "server");
    change_plain(&site, &monitor, "a line");
    await_problem(&site, "nobody", "it refuses us");
    // Whom a system trusts may be nobody at all.
    until("strangers are not trusted", &site, || {
        let problem = output_of(&site, "strangers");
        ["is not trusted", "trusts no certificates"]
            .iter()
            .any(|words| problem.contains(words))
    });
    await_sent(&site, "ours");
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    same(&printed, &server.events());
}

fn output_of(site: &Site, name: &str) -> String {
    output(site, name)["problem"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn an_event_that_a_server_refuses_for_good_is_set_aside_and_told_and_all_others_come() {
    let test = "an event that is refused";
    if !Forwarder::is_possible(test) || !HttpServer::is_here(test) {
        return;
    }
    let site = Site::new();
    let server = HttpServer::steady(&site);
    let config = format!(
        "{}\n[[output]]\ntype = \"http\"\nurl = \"http://127.0.0.1:{}/\"\n{AS_IT_WANTS}",
        rule(&[&site.files()]),
        server.port
    );
    let monitor = site.start(&config);
    let forwarder = Forwarder::start(&site);
    change_plain(&site, &monitor, "before");
    let poison = site.write("poison", "one\n");
    let bad = monitor.expect(Expect::action("created").of(&poison));
    change_plain(&site, &monitor, "behind");
    let tells = |event: &Event| event.number("fimk.counts.refused").is_some();
    let told =
        monitor.expect(Expect::action("events_removed").and("of a refusal".to_owned(), tells));
    await_sent(&site, "http");
    let number = sequence(&bad);
    for (name, value) in [("", 1), ("_first", number), ("_last", number)] {
        let found = told.number(&format!("fimk.counts.refused{name}"));
        assert_eq!(found, Some(value), "{name}: {told:?}");
    }
    let message = told.text("message").unwrap_or_default();
    assert!(message.contains("it answers 400 "), "{message}");
    let status = output(&site, "http");
    assert_eq!(
        (&status["refused"], &status["problem"]),
        (&1.into(), &Value::Null)
    );
    let printed = monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
    let others: Vec<Event> = printed
        .into_iter()
        .filter(|event| sequence(event) != number)
        .collect();
    same(&others, &server.events());
}

#[test]
fn a_graphite_that_closes_talks_or_stalls_is_told_of_and_has_counters_again_when_it_reads() {
    let test = "Graphite that fails";
    if !Forwarder::is_possible(test) {
        return;
    }
    let site = Site::new();
    let mut graphite = Lines::listen();
    let config = format!(
        "{}\n[[output]]\ntype = \"graphite\"\naddress = \"127.0.0.1:{}\"\nprefix = \"p\"\ninterval_s = 1\ntimeout_ms = 1000\n",
        rule(&[&site.files()]),
        graphite.port
    );
    let monitor = site.start(&config);
    let forwarder = Forwarder::start(&site);
    for (mood, words) in [
        (Mood::Closes, "it closed the connection"),
        (Mood::Talks, "it talks without end"),
        (Mood::Stalls, "it does not answer in time"),
    ] {
        graphite.become_one_that(mood);
        await_problem(&site, "graphite", words);
        graphite.become_one_that(Mood::Reads);
        until("it is well again", &site, || {
            output(&site, "graphite")["problem"].is_null()
        });
    }
    let lines = graphite.lines(&site);
    for line in &lines {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words.len() == 3 && words[0].starts_with("p."), "{line}");
        assert!(
            words[1..].iter().all(|it| it.parse::<u64>().is_ok()),
            "{line}"
        );
    }
    monitor.stop();
    assert!(forwarder.stop(), "{}", log(&site));
}
