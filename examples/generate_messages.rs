//! Makes the input of the outbound pipeline: `cargo run --example generate_messages`.
//!
//! Everything in it is made up, and the same bytes come out each time. `tests/outbound_messages.rs` holds
//! the shipped file, and a run, against it.

use std::path::Path;

use serde_json::{Value, json};

/// Where the file is shipped, seen from the root of the project.
pub const FILE: &str = "examples/outbound-messages/messages.ndjson";

/// Messages that are in order, by their ids; each once, in the order of the file.
pub const GOOD: usize = 240;
/// Lines that repeat an earlier message.
pub const REPEATED: usize = 15;
/// Lines that are no message which could be sent.
pub const BAD: usize = 6;

/// Customers of whom each has a conversation of its own.
const CUSTOMERS: usize = 40;
const SAID: [&str; 6] = [
    "Your order is on its way.",
    "Your appointment is confirmed for tomorrow at 10:00.",
    "We have received your documents. Thank you!",
    "Your parcel waits at the pick-up point until Friday.",
    "How did we do? Answer with a number from 1 to 5.",
    "Votre rendez-vous est confirmé. À bientôt !",
];

/// The id of a message, by its number.
pub fn id(number: usize) -> String {
    format!("msg-{number:05}")
}

fn message(number: usize) -> Value {
    let customer = number * 7 % CUSTOMERS;
    let mut message = json!({
        "messageId": id(number),
        "tenantId": "demo",
        "organizationId": "demo",
        "recipient": { "id": format!("customer-{customer:03}@example.com"), "idType": "Email" },
        "textBody": SAID[number % SAID.len()],
        "time": format!("2026-03-02T{:02}:{:02}:{:02}Z", 8 + number / 3600, number / 60 % 60, number % 60),
    });
    // A customer writes now and then, with a picture.
    if number % 25 == 24 {
        message["kind"] = "inbound".into();
        message["content"] = json!([{
            "contentType": "Attachment",
            "attachment": {
                "id": format!("att-{number}"),
                "mediaType": "Image",
                "url": format!("https://files.example.com/{number}.png"),
            },
        }]);
    }
    message
}

/// What cannot be sent, each for a reason of its own.
fn bad(number: usize) -> Value {
    let mut message = message(GOOD + number);
    match number {
        0 => message["textBody"] = "x".repeat(2001).into(),
        1 => message["recipient"] = json!({ "idType": "Email" }),
        2 => message["tenantId"] = "nobody".into(),
        3 => message["textBody"] = "".into(),
        4 => message["organizationId"] = "elsewhere".into(),
        _ => {
            message["kind"] = "inbound".into();
            message["content"] = json!([{
                "contentType": "Attachment",
                "attachment": { "id": "a", "mediaType": "Image", "url": "http://files.example.com/a.png" },
            }]);
        }
    }
    message
}

/// The lines of the file.
pub fn make() -> String {
    let mut lines = Vec::with_capacity(GOOD + REPEATED + BAD);
    for number in 0..GOOD {
        lines.push(message(number));
        if number % 16 == 15 {
            lines.push(message(number - 10));
        }
        if number % 40 == 39 {
            lines.push(bad(number / 40));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[allow(dead_code)] // The test that includes this file has its own.
fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = make();
    std::fs::write(path, &text)?;
    println!("{FILE}: {} bytes", text.len());
    Ok(())
}
