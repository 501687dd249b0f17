//! The bytes of a record, as `spec/plans.md` shows them.

use super::*;

#[test]
fn the_bytes_of_a_record() {
    let body = format!(
        r#""steps": [{ASK}, {WAIT}, {{"id": "hear", "op": "await_event", "event": "t/Note@1", "timeout_ns": 50, "bind": {{"as": "note"}}}},
            {{"id": "last", "op": "assign", "expr": {{"ref": "@var:note.n"}}, "bind": {{"as": "x"}}}}],
           "edges": [{{"from": "ask", "to": "wait"}}, {{"from": "hear", "to": "wait"}}, {{"from": "wait", "to": "last"}}]"#
    );
    let mut run = Run::start(plan(&body, None), INPUT);
    run.take(&In::Ends(0, Status::Failed, "a.b"));
    assert_snapshot!(hex(&run.instance.encode()), @"8d010765742f50403158208fa8bccdf6166713906c89a754e9f01040b2c36d73b68ae03d064fcdf5ab221058200d197521d9a48760576da1c87dfd828a60d397ea1e16f92a5b7c44b4f4060ce103410155a3616e056377686f63616e6e65666c61677382f5f484f65822582071e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cbf6f6840282051896000081830002582ba364636f646563612e62676d6573736167656d69742077656e742077726f6e6769726574726961626c65f4f6f4");
}
