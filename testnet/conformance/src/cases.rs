//! The recorded cases, and how each is run again.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Under;
use crate::body;
use crate::compare::compare;
use crate::fixtures::Fixtures;
use crate::http::{self, Answer};
use crate::parents::Parents;

/// Groups in the order in which they are run: the faucet last, since it pays addresses that the indexer is asked for.
const GROUPS: [(&str, &str); 10] = [
    ("blocks", include_str!("../traces/http/blocks.jsonl")),
    ("indexer", include_str!("../traces/http/indexer.jsonl")),
    ("info", include_str!("../traces/http/info.jsonl")),
    ("milestones", include_str!("../traces/http/milestones.jsonl")),
    ("node", include_str!("../traces/http/node.jsonl")),
    ("outputs", include_str!("../traces/http/outputs.jsonl")),
    ("post-block", include_str!("../traces/http/post-block.jsonl")),
    ("tips", include_str!("../traces/http/tips.jsonl")),
    ("transactions", include_str!("../traces/http/transactions.jsonl")),
    ("faucet", include_str!("../traces/http/faucet.jsonl")),
];

/// Cases recorded.
const RECORDED: usize = 586;

/// Tries of a case that a milestone may overtake.
const ATTEMPTS: usize = 6;

/// One recorded exchange.
#[derive(Debug, Clone)]
pub struct Case {
    pub group: &'static str,
    pub name: String,
    pub request: Value,
    pub answer: Value,
}

/// All of them.
pub fn recorded() -> Result<Vec<Case>> {
    let mut cases = vec![];
    for (group, lines) in GROUPS {
        for line in lines.lines() {
            let case: Value = serde_json::from_str(line).with_context(|| format!("a line of {group}"))?;
            let name = case["case"].as_str().context("a case without a name")?.to_owned();
            cases.push(Case { group, name, request: case["request"].clone(), answer: case["response"].clone() });
        }
    }
    anyhow::ensure!(cases.len() == RECORDED, "{} cases instead of {RECORDED}", cases.len());
    Ok(cases)
}

fn find(group: &str, name: &str) -> Result<Case> {
    recorded()?
        .into_iter()
        .find(|case| case.group == group && case.name == name)
        .with_context(|| format!("{group} has no case `{name}`"))
}

/// The request of a recorded case.
pub fn recorded_request(group: &str, name: &str) -> Result<Value> {
    Ok(find(group, name)?.request)
}

/// The answer to a recorded case.
pub fn recorded_answer(group: &str, name: &str) -> Result<Value> {
    Ok(find(group, name)?.answer)
}

/// The payload in the answer to a recorded case of `blocks`.
pub fn recorded_payload(name: &str) -> Result<Value> {
    Ok(recorded_answer("blocks", name)?["body"]["json"]["payload"].clone())
}

/// Its essence.
pub fn recorded_essence(name: &str) -> Result<Value> {
    Ok(recorded_payload(name)?["essence"].clone())
}

/// A segment of a request's path, counted from the empty one before the first slash.
pub fn segment(request: &Value, index: usize) -> Result<String> {
    let path = request["path"].as_str().context("a request without a path")?;
    path.split('/').nth(index).map(str::to_owned).with_context(|| format!("{path} is too short"))
}

/// Runs cases one after the other.
pub struct Runner<'a> {
    under: &'a Under,
    fixtures: Fixtures,
    parents: Parents,
    /// The last body made for a recorded one: the same again must be the same again.
    last_body: Option<(Value, Option<Vec<u8>>)>,
    /// A block posted for the cases about one that is not referenced yet.
    young: Option<String>,
}

impl<'a> Runner<'a> {
    pub fn new(under: &'a Under, fixtures: Fixtures) -> Self {
        Self { under, fixtures, parents: Parents::default(), last_body: None, young: None }
    }

    /// What differs, in words; nothing if all is the same.
    pub async fn run(&mut self, case: &Case) -> Result<Vec<String>> {
        let mut differences = vec![];
        for _ in 0..ATTEMPTS {
            let answer = self.ask(case).await?;
            differences = compare(case, &answer, &self.fixtures);
            if differences.is_empty() || !is_racy(case) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(differences)
    }

    async fn ask(&mut self, case: &Case) -> Result<Answer> {
        let request = &case.request;
        let base = if request["server"] == "faucet" { &self.under.faucet } else { &self.under.node };
        let method = request["method"].as_str().context("a request without a method")?;
        let path = self.path(case).await?;
        let headers: Vec<(String, String)> = request["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        let body = self.body(case).await?;
        let answer = http::send(base, method, &path, &headers, body).await?;
        if let Some(id) = answer.json().as_ref().and_then(|body| body["blockId"].as_str())
            && answer.status == 201
        {
            self.parents.taken(id);
        }
        Ok(answer)
    }

    async fn path(&mut self, case: &Case) -> Result<String> {
        let recorded = case.request["path"].as_str().context("a request without a path")?;
        match case.name.as_str() {
            "metadata of a block posted just now, not referenced" => {
                let id = self.post_young().await?;
                Ok(format!("/api/core/v2/blocks/{id}/metadata"))
            }
            "metadata of the same block once referenced" => {
                let id = self.young.clone().context("the case before this one was not run")?;
                Ok(format!("/api/core/v2/blocks/{id}/metadata"))
            }
            _ => Ok(self.fixtures.rewrite.apply(recorded)),
        }
    }

    async fn post_young(&mut self) -> Result<String> {
        let fresh = self.parents.fresh(&self.under.node).await?;
        let body = json!({ "protocolVersion": 2, "parents": fresh.iter().take(4).collect::<Vec<_>>(), "nonce": "1" });
        let kind = [("Content-Type".to_owned(), "application/json".to_owned())];
        let body = Some(body.to_string().into_bytes());
        let answer = http::send(&self.under.node, "POST", "/api/core/v2/blocks", &kind, body).await?;
        let id = answer.json().and_then(|body| body["blockId"].as_str().map(str::to_owned));
        let id = id.with_context(|| String::from_utf8_lossy(&answer.body).into_owned())?;
        self.young = Some(id.clone());
        Ok(id)
    }

    async fn body(&mut self, case: &Case) -> Result<Option<Vec<u8>>> {
        let recorded = &case.request["body"];
        if recorded.is_null() {
            return Ok(None);
        }
        // Posted again, it must be the same block again.
        if let Some((last, made)) = &self.last_body
            && last == recorded
        {
            return Ok(made.clone());
        }
        let made = if case.name.starts_with("raw: milestone payload") {
            self.fixtures.milestone_block.clone()
        } else if case.name.starts_with("whiteflag") && recorded["json"].is_object() {
            body::white_flag(&recorded["json"], &self.under.node).await?
        } else {
            let fresh = match case.group {
                "post-block" => self.parents.fresh(&self.under.node).await?,
                _ => vec![],
            };
            body::make(recorded, &fresh, &self.fixtures.rewrite)?
        };
        let made = Some(made);
        self.last_body = Some((recorded.clone(), made.clone()));
        if case.name.starts_with("whiteflag") {
            self.last_body = None;
        }
        Ok(made)
    }
}

/// Cases whose question is about this very moment: a milestone in between changes the answer.
fn is_racy(case: &Case) -> bool {
    case.name.starts_with("whiteflag")
        || case.name.starts_with("metadata of ")
        || case.name.contains("while queued")
        || case.name.starts_with("snapshot")
}
