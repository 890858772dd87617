//! schemathesis, which takes the served document at its word: everything that it allows and forbids is
//! asked for, and every answer is held against it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::world::{Options, TOKEN, World};

/// Where `.ci/servers` puts it.
fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache
        .unwrap_or_default()
        .join("trunkline/schemathesis-4.32.5");
    let program = folder.join("bin/schemathesis");
    assert!(
        program.exists(),
        "{} is missing: run .ci/servers",
        program.display()
    );
    program
}

/// What is asked: a document, of one operation or all, with so many examples of each.
struct Asked<'a> {
    url: &'a str,
    document: &'a Path,
    conversation: &'a str,
    operation: Option<&'a str>,
    examples: u32,
}

/// A key is of one request, which the document cannot say: one that would do has a number put behind it.
const HOOKS: &str = r#"
import itertools, re, schemathesis

number = itertools.count()

@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    mine = str(next(number))
    def numbered(key):
        fits = isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}", key)
        return key[:100] + "-" + mine if fits else key
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = numbered(case.headers["Idempotency-Key"])
    if isinstance(case.body, dict) and "messageId" in case.body:
        case.body = {**case.body, "messageId": numbered(case.body["messageId"])}
"#;

fn run(asked: &Asked<'_>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    // A real tenant and a real conversation, or all would end with 404.
    let settings = format!(
        "[parameters]\n\"path.tenant\" = \"acme\"\n\"path.conversation\" = \"{}\"\n\
         \"path.name\" = \"outbound\"\n",
        asked.conversation
    );
    std::fs::write(folder.path().join("schemathesis.toml"), settings).unwrap();
    let mut command = Command::new(program());
    command.current_dir(&folder).env("HOME", folder.path());
    std::fs::write(folder.path().join("hooks.py"), HOOKS).unwrap();
    command.env("SCHEMATHESIS_HOOKS", "hooks");
    command.env("PYTHONPATH", folder.path());
    command
        .arg("run")
        .arg(asked.document)
        .args(["--url", asked.url]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    command.args([
        "--seed",
        "20261121",
        "--generation-deterministic",
        "--no-color",
    ]);
    let examples = asked.examples.to_string();
    command.args(["--phases", "examples,coverage,fuzzing"]);
    command.args(["--max-examples", &examples]);
    // A conversation that has ended can still be read, as the document says.
    command.args(["--checks", "all"]);
    command.args([
        "--exclude-checks",
        "use_after_free,ensure_resource_availability",
    ]);
    match asked.operation {
        Some(operation) => command.args(["--include-operation-id", operation]),
        // There is no sink here that shows activity.
        None => command.args(["--exclude-tag", "activity"]),
    };
    command.output().unwrap()
}

/// A world with a conversation in which an agent is, and the document that it serves.
async fn described() -> (World, String, Value) {
    let world = World::new(Options::default()).await;
    let path = world.attended("ada").await;
    let conversation = path.rsplit('/').next().unwrap().to_owned();
    let document = world.get("openapi.json").await;
    (world, conversation, document.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_the_document_says_is_so() {
    let (world, conversation, document) = described().await;
    let url = format!("http://{}", world.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let asked = move || {
        run(&Asked {
            url: &url,
            document: &file,
            conversation: &conversation,
            operation: None,
            examples: 25,
        })
    };
    let output = tokio::task::spawn_blocking(asked).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{err}");
    world.end().await;
}

const CONVERSATIONS: &str = "/paths/~1api~1v1~1tenants~1{tenant}~1conversations";
const SCHEMAS: &str = "/components/schemas";

/// A lie: the operation that it is about, where it is told (a JSON pointer; what stands there is replaced,
/// or taken away by `null`), and what is said.
type Lie = (&'static str, String, Value);

fn lies() -> Vec<Lie> {
    let of = |path: &str| format!("{CONVERSATIONS}{path}");
    let one = |path: &str| format!("{CONVERSATIONS}~1{{conversation}}{path}");
    let schema = |path: &str| format!("{SCHEMAS}{path}");
    let pipelines = "/paths/~1api~1v1~1pipelines/get/responses/200/content";
    let none = Value::Null;
    vec![
        (
            "pipelines",
            format!("{pipelines}/application~1json/schema"),
            json!({"type": "object"}),
        ),
        ("pipelines", pipelines.into(), json!({"text/html": {}})),
        (
            "pipelines",
            schema("/Summary/properties/state"),
            json!({"enum": ["stopped"]}),
        ),
        (
            "pipelines",
            schema("/Counts/properties/received"),
            json!({"type": "string"}),
        ),
        ("ledger", schema("/Counts/required"), json!(["lost"])),
        (
            "ledger",
            schema("/NodeLedger/properties/kind"),
            json!({"enum": ["other"]}),
        ),
        (
            "live",
            schema("/Live/properties/status"),
            json!({"const": "dead"}),
        ),
        (
            "metrics",
            "/paths/~1metrics/get/responses/200/content".into(),
            json!({"application/json": {}}),
        ),
        ("readConversation", one("/get/responses/200"), none.clone()),
        (
            "readConversation",
            schema("/Conversation/properties/state"),
            json!({"enum": ["closed"]}),
        ),
        (
            "readConversation",
            schema("/Conversation/properties/participants/items/required"),
            json!(["name"]),
        ),
        (
            "sendMessage",
            one("~1messages/post/responses/201/content"),
            json!({"text/plain": {}}),
        ),
        ("sendMessage", schema("/Sent/required"), json!(["lost"])),
        (
            "sendMessage",
            schema("/NewMessage/properties/textBody/minLength"),
            json!(0),
        ),
        ("sendMessage", schema("/NewMessage/required"), json!([])),
        (
            "sendMessage",
            schema("/NewMessage/properties/messageId"),
            json!({"type": "string"}),
        ),
        (
            "sendMessage",
            schema("/Sent/properties/status"),
            json!({"const": "delivered"}),
        ),
        (
            "addParticipant",
            schema("/NewParticipant/oneOf/0/properties/userId"),
            json!({"type": "string"}),
        ),
        (
            "closeConversation",
            one("/delete/responses/204"),
            none.clone(),
        ),
        (
            "createConversation",
            of("/post/responses/201"),
            none.clone(),
        ),
        (
            "createConversation",
            schema("/OutboundConversation/required"),
            json!([]),
        ),
        (
            "createConversation",
            schema("/OutboundConversation/properties/recipient/properties/idType"),
            json!({"enum": ["Fax"]}),
        ),
        (
            "createConversation",
            schema("/Created/properties/tenantId"),
            json!({"const": "nobody"}),
        ),
        (
            "readConversation",
            "/components/parameters/Organization/schema".into(),
            json!({"type": "string"}),
        ),
    ]
}

/// Tells a lie.
fn lied(document: &Value, at: &str, what: &Value) -> Value {
    let mut document = document.clone();
    assert!(document.pointer(at).is_some(), "{at} is not there");
    let (of, name) = at.rsplit_once('/').unwrap();
    let of = document.pointer_mut(of).unwrap();
    let name = name.replace("~1", "/");
    match (of.as_object_mut(), what) {
        (Some(of), Value::Null) => {
            of.remove(&name);
        }
        (Some(of), what) => {
            of.insert(name, what.clone());
        }
        (None, what) => of[name.parse::<usize>().unwrap()] = what.clone(),
    }
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_lies_of_the_document_is_found() {
    let (world, conversation, document) = described().await;
    let url = format!("http://{}", world.address);
    let ask = move || {
        let folder = tempfile::tempdir().unwrap();
        let mut believed = Vec::new();
        for (number, (operation, at, what)) in lies().into_iter().enumerate() {
            let file = folder.path().join(format!("{number}.json"));
            std::fs::write(&file, lied(&document, &at, &what).to_string()).unwrap();
            let output = run(&Asked {
                url: &url,
                document: &file,
                conversation: &conversation,
                operation: Some(operation),
                examples: 10,
            });
            // 1: something was found. Anything else is a mistake of the test.
            if output.status.code() != Some(1) {
                believed.push(format!("{operation} {at}: {:?}", output.status));
            }
        }
        believed
    };
    let believed = tokio::task::spawn_blocking(ask).await.unwrap();
    assert!(believed.is_empty(), "{believed:#?}");
    world.end().await;
}
