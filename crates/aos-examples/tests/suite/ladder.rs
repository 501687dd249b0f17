//! Every rung over real sockets, to its story; killed and taken up again; and what must be nowhere.
//!
//! A story that changes is a reviewed change of a snapshot. Read next: `recorded.rs`, which needs no sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Ladder, Ran, command, run, run_with};

/// Takes out of a story what differs from run to run: the hashes that name its world, and the server's port.
fn settled(text: &str, port: Option<&str>) -> String {
    let text = port.map_or_else(|| text.to_owned(), |port| text.replace(&format!(":{port}/"), ":PORT/"));
    let mut pieces = text.split("blake3:");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out += "HASH";
        out += piece.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '…');
    }
    out
}

fn story(demo: &str) -> String {
    let data = TempDir::new().unwrap();
    let Ran { exit, stdout, stderr } = run([demo, "--data", data.path().to_str().unwrap()]);
    assert_eq!((exit, stderr.as_str()), (0, ""), "{stdout}");
    settled(&stdout, fs::read_to_string(data.path().join("port")).ok().as_deref())
}

#[test]
fn hello_timer() {
    assert_snapshot!(story("hello-timer"));
}

#[test]
fn blob_echo() {
    assert_snapshot!(story("blob-echo"));
}

#[test]
fn fetch_notify() {
    assert_snapshot!(story("fetch-notify"));
}

#[test]
fn aggregator() {
    let told = story("aggregator");
    let place = |words: &str| told.find(words).unwrap_or_else(|| panic!("`{words}` is not in:\n{told}"));
    assert!(place("receipt   http.request (step south_ask)") < place("receipt   http.request (step north_ask)"));
    // Which body is read before which answer comes is for threads to say, so the answers stand without their frames here.
    let (before, rest) = told.split_at(place("\n      2  ") + 1);
    let (answers, after) = rest.split_at(rest.find("\n      6  ").unwrap() + 1);
    let mut answers: Vec<_> = answers.lines().map(|line| format!("         {}\n", &line[9..])).collect();
    answers.sort();
    assert_snapshot!(before.to_owned() + &answers.concat() + after);
}

#[test]
fn chain_comp() {
    assert_snapshot!(story("chain-comp"));
}

#[test]
fn llm_summarizer() {
    assert_snapshot!(story("llm-summarizer"));
}

#[test]
fn retry_backoff() {
    let mut pauses = Vec::new();
    // A pause has a part that is chance.
    let told: Vec<String> = story("retry-backoff")
        .lines()
        .map(|line| match line.split_once(" in ").and_then(|(before, rest)| Some((before, rest.split_once(" ms ")?))) {
            Some((before, (pause, behind))) => {
                pauses.push(pause.parse::<u64>().unwrap());
                format!("{before} in PAUSE ms {behind}")
            }
            None => line.to_owned(),
        })
        .collect();
    assert!(
        pauses.len() == 3
            && pauses.iter().zip([80, 160, 320]).all(|(pause, least)| (least..=least * 5 / 4).contains(pause)),
        "{pauses:?}"
    );
    assert_snapshot!(told.join("\n"));
}

/// Ends a run the hard way after some time, unless it has ended by itself; returns what it printed then.
fn killed_after(mut child: Child, time: Duration) -> Option<String> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return Some(String::from_utf8(output.stdout).unwrap());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn a_run_that_is_killed_again_and_again_comes_to_the_same_end() {
    for demo in ["hello-timer", "blob-echo", "fetch-notify"] {
        let clean = run([demo, "--json"]).line();
        let data = TempDir::new().unwrap();
        let start = || {
            let mut command: Command = command([demo, "--json", "--data", data.path().to_str().unwrap()]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let (mut kills, mut patience) = (0, Duration::from_millis(100));
        let line = loop {
            // Longer and longer, so that it ends at last.
            match killed_after(start(), patience) {
                Some(stdout) => break serde_json::from_str::<Value>(&stdout).unwrap(),
                None => (kills, patience) = (kills + 1, patience * 5 / 4),
            }
        };
        assert!(kills > 0, "{demo}: it was killed");
        assert_eq!(line["state"], clean["state"], "{demo}, killed {kills} times");
        assert_eq!((&line["replay"], &line["open"]), (&json!("identical"), &json!([])), "{demo}");
        let count = |line: &Value| line["events"].as_u64().unwrap() + line["known"].as_u64().unwrap();
        assert_eq!(count(&line), count(&clean), "{demo}");
    }
}

#[test]
fn a_refund_waits_for_a_person_over_a_restart() {
    let ladder = Ladder::of("05-chain-comp");
    let approval = "{\"approve\": \"refunds\"},";
    ladder.replace("events.json", approval, "");
    let parked = ladder.run_on_data().line();
    assert_eq!(parked["open"], json!([{"kind": "http.request", "grant": "refunds", "standing": "waits for approval"}]));
    assert_eq!(parked["server"].get("DELETE /payments/oslo"), None);

    ladder.replace(
        "events.json",
        "{\"event\": \"demo/TripWanted@1\", \"value\": {\"trip\": \"bern\"}}",
        "{\"approve\": \"refunds\"}",
    );
    let approved = ladder.run_on_data().line();
    assert_eq!((&approved["open"], &approved["world"]), (&json!([]), &parked["world"]));
    assert_eq!(approved["server"], json!({"DELETE /flights/oslo": 1, "DELETE /payments/oslo": 1}));
}

#[test]
fn what_the_readmes_invite_to_try_is_so() {
    let ladder = Ladder::of("05-chain-comp");
    let bern = "{\"event\": \"demo/TripWanted@1\", \"value\": {\"trip\": \"bern\"}}";
    let lima = bern.replace("bern", "lima");
    let confirmed = lima.replace("TripWanted", "Confirmed");
    ladder.replace("events.json", bern, &format!("{lima}, {{\"wait\": \"quiet\"}}, {confirmed}"));
    let line = ladder.run(&["--json"]).line();
    let declined = json!({"trip": "lima", "outcome": {"Cancelled": {"why": "the payment was declined"}}});
    assert_eq!(line["state"]["demo/Agency@1"][2], declined);
    assert_eq!(
        (&line["server"]["DELETE /flights/lima"], line["server"].get("DELETE /payments/lima")),
        (&json!(1), None)
    );

    let ladder = Ladder::of("08-retry-backoff");
    ladder.replace("server.json", "\"times\": 3", "\"times\": 9");
    let line = ladder.run(&["--json"]).line();
    let jobs = line["state"]["demo/Fetcher@1"].as_array().unwrap();
    let flaky = jobs.iter().find(|job| job["key"] == "flaky").unwrap();
    assert_eq!(flaky["state"]["phase"], json!({"GivenUp": {"why": "the service answered 503"}}));
    assert_eq!(line["server"], json!({"GET /flaky": 4}));

    let ladder = Ladder::of("04-aggregator");
    ladder.replace("air/buyer.air.json", "\"calls\": 6", "\"calls\": 2");
    let line = ladder.run(&["--json"]).line();
    let denied: Vec<_> = line["story"].as_array().unwrap().iter().filter(|told| told["what"] == "denied").collect();
    assert!(denied.len() == 1 && denied[0]["code"] == "budget.exceeded", "{denied:?}");
    assert_eq!(line["server"].get("GET /west/lamp"), None);
}

#[test]
fn a_key_is_in_no_file_of_a_node_and_in_no_word() {
    let ladder = Ladder::of("07-llm-summarizer");
    let bundle = ladder.data().with_extension("aosw");
    let ran = ladder.run(&["--json", "--data", ladder.data().to_str().unwrap(), "--record", bundle.to_str().unwrap()]);
    let key = b"not-a-real-key";
    let holds = |bytes: &[u8]| bytes.windows(key.len()).any(|window| window == key);
    assert!(ran.exit == 0 && !holds(ran.stdout.as_bytes()) && !holds(ran.stderr.as_bytes()));
    let mut searched = 0;
    let mut folders = vec![ladder.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert!(!holds(&fs::read(&path).unwrap()), "{}", path.display());
                searched += 1;
            }
        }
    }
    assert!(searched > 3 && !holds(&fs::read(bundle).unwrap()), "{searched}");
}

/// Answers two requests as a provider does, and returns what each said in its head.
fn provider(body: &'static str) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut said = Vec::new();
            let is_whole = |said: &[u8]| said.ends_with(b"}");
            while !is_whole(&said) {
                let mut chunk = [0; 4_096];
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0, "{}", String::from_utf8_lossy(&said));
                said.extend(&chunk[..count]);
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
            heads.push(String::from_utf8(said).unwrap().split("\r\n\r\n").next().unwrap().to_ascii_lowercase());
        }
        heads
    };
    (port, thread::spawn(serve))
}

#[test]
fn with_a_key_in_the_environment_a_real_provider_is_asked() {
    for (protocol, base, path, key, body) in [
        (
            "openai",
            "/v1",
            "post /v1/chat/completions ",
            "authorization: bearer the-real-key",
            r#"{"id": "c", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Wet."}}], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}"#,
        ),
        (
            "anthropic",
            "",
            "post /v1/messages ",
            "x-api-key: the-real-key",
            r#"{"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Wet."}], "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 2}}"#,
        ),
    ] {
        let (port, asked) = provider(body);
        let ran = run_with(["llm-summarizer", "--json"], |command| {
            let base = format!("http://127.0.0.1:{port}{base}");
            command.env("AOS_LLM_API_KEY", "the-real-key").env("AOS_LLM_PROTOCOL", protocol);
            command.env("AOS_LLM_BASE_URL", base).env("AOS_LLM_MODEL", "m");
        });
        let line = ran.line();
        assert_eq!(
            (&line["server"], &line["replay"]),
            (&json!({}), &json!("identical")),
            "the demo's own is not asked"
        );
        let summary = json!({"Summary": {"text": "Wet.", "tokens": 11, "cents": 1}});
        let state = &line["state"]["demo/Library@1"];
        assert_eq!((&state["tides"], &state["rain"]), (&summary, &summary), "{protocol}");
        let asked = asked.join().unwrap();
        assert!(asked.iter().all(|head| head.starts_with(path) && head.contains(key)), "{asked:?}");
    }
}

#[test]
fn a_server_that_cannot_play_is_told() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let ladder = Ladder::of("04-aggregator");
    fs::create_dir_all(ladder.data()).unwrap();
    fs::write(ladder.data().join("port"), port.local_addr().unwrap().port().to_string()).unwrap();
    let ran = ladder.run_on_data();
    let said: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.exit, &said["code"]), (3, &json!("demo.port")), "{said}");

    ladder.replace("server.json", "/west/lamp\", \"delay_ms\"", "/west/lamp\", \"dely_ms\"");
    let ran = ladder.run(&["--json"]);
    let said: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.exit, &said["code"]), (2, &json!("demo.server")), "{said}");
    assert!(said["message"].as_str().unwrap().contains("unknown field `dely_ms`"), "{said}");
    assert!(Path::new(said["message"].as_str().unwrap().split(':').next().unwrap()).ends_with("server.json"));

    let ran = run_with(["aggregator"], |command| {
        command.env("AOS_LLM_API_KEY", "k").env("AOS_LLM_PROTOCOL", "telnet");
    });
    assert!(ran.exit == 3 && ran.stderr.starts_with("error[demo.llm_protocol]"), "{ran:?}");
}
