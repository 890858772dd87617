//! What is done for whoever asks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::Inner;
use super::super::message::Fields;
use super::answer::Problem;
use super::body::{self, How, NewConversation, NewMessage, NewParticipant, Reader};
use super::{Asked, What};
use crate::client::genesys::{Communication, SendError, Sent, Standing, Target};
use crate::client::statuses::{Record, State};
use crate::client::tenants::{Organization, Policy};
use crate::event::{Event, PathSet, Provenance};
use crate::failure::{Failure, Kind, UNANSWERED};
use crate::observe::{NodeMeter, ViewAnswer};

/// For a place in the budget: who asks has little time.
const TURN: Duration = Duration::from_secs(3);

/// The sink, as it works for whoever asks.
pub(super) struct Work {
    pub sink: Arc<Inner>,
    pub shared: Arc<Shared>,
}

/// What all requests share.
pub(super) struct Shared {
    meter: NodeMeter,
    /// Bodies are laid out as documented, whatever the fields of the pipeline's events are.
    fields: Fields,
    paths: Arc<PathSet>,
    from: Arc<Provenance>,
    under_way: Mutex<HashSet<String>>,
}

type Answer = Result<ViewAnswer, Problem>;

/// A key that is being worked on, until this is dropped.
struct UnderWay<'w>(&'w Shared, String);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let keys = self.0.under_way.lock();
        keys.unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Shared {
    pub fn new(meter: NodeMeter) -> Self {
        Self {
            meter,
            fields: Fields::default(),
            paths: Arc::default(),
            from: Arc::default(),
            under_way: Mutex::default(),
        }
    }

    fn begin(&self, key: &str) -> Result<UnderWay<'_>, Problem> {
        let mut keys = (self.under_way.lock()).unwrap_or_else(PoisonError::into_inner);
        match keys.insert(key.to_owned()) {
            true => Ok(UnderWay(self, key.to_owned())),
            false => Err(Problem::in_progress()),
        }
    }
}

impl Work {
    pub async fn answer(&self, asked: Asked) -> ViewAnswer {
        self.run(asked).await.unwrap_or_else(ViewAnswer::from)
    }

    async fn run(&self, asked: Asked) -> Answer {
        let organization = organization_of(&asked.query)?;
        if asked.key.as_deref().is_some_and(|key| !body::is_id(key)) {
            return Err(Problem::key());
        }
        if asked.place.what != What::All && !body::is_uuid(&asked.place.conversation) {
            return Err(Problem::no_conversation());
        }
        let read = || body::object(&asked.body, asked.content_type.as_deref());
        match (asked.method, asked.place.what) {
            ("POST", What::All) => {
                let body = read()?;
                let new = Reader::new(&body).conversation()?;
                let of = self.organization(&asked, organization, &new.organization);
                self.open(&asked, &*of.await?, &body, new).await
            }
            ("POST", What::Messages) => {
                let new = Reader::new(&read()?).message()?;
                let of = self.organization(&asked, organization, &new.organization);
                self.send(&asked, &*of.await?, new).await
            }
            ("POST", What::Participants) => {
                let new = Reader::new(&read()?).participant()?;
                let of = self.organization(&asked, organization, &new.organization);
                self.bring_in(&asked, &*of.await?, new).await
            }
            ("DELETE", What::One) => {
                let of = self.organization(&asked, organization, &None);
                self.close(&asked, &*of.await?).await
            }
            _ => {
                let of = self.organization(&asked, organization, &None).await?;
                let standing = self.standing(&of, &asked.place.conversation).await?;
                Ok(shown(&of, &standing))
            }
        }
    }

    /// The organisation that is named, or the only one of the tenant.
    async fn organization(
        &self,
        asked: &Asked,
        query: Option<String>,
        body: &Option<String>,
    ) -> Result<Arc<Organization>, Problem> {
        if let (Some(query), Some(body)) = (&query, body)
            && query != body
        {
            return Err(Problem::two_organizations());
        }
        let tenants = &self.sink.tenants;
        let tenant = tenants.tenant(&asked.place.tenant).await?;
        let Some(id) = query.as_ref().or(body.as_ref()) else {
            let mut all = tenant.organizations.values();
            return match (all.next(), all.next()) {
                (Some(only), None) => Ok(only.clone()),
                _ => Err(Problem::which_organization()),
            };
        };
        let found = tenant.organizations.get(id).cloned();
        found.ok_or_else(|| crate::client::tenants::Lookup::UnknownOrganization.into())
    }

    /// A place in the budget, unless the breaker says that it is of no use.
    async fn turn(&self, of: &Organization) -> Result<(), Problem> {
        if self
            .shared
            .meter
            .breaker_is_open(&format!("{}/{}", of.tenant, of.id))
        {
            return Err(Problem::breaker());
        }
        let turn = tokio::time::timeout(TURN, of.client().turn());
        turn.await.map_err(|_| Problem::used_up())
    }

    async fn standing(&self, of: &Organization, id: &str) -> Result<Standing, Problem> {
        self.turn(of).await?;
        let missing = Problem::no_conversation;
        let found = self.told(of, of.client().standing(id)).await;
        found.map_err(|error| Problem::of_call(error, missing()))
    }

    async fn open(
        &self,
        asked: &Asked,
        of: &Organization,
        body: &Map<String, Value>,
        new: NewConversation,
    ) -> Answer {
        if let Some(integration) = &new.integration
            && !of.allows(integration)
        {
            return Err(Problem::no_integration());
        }
        let mut event = json!({
            "tenantId": of.tenant.as_ref(), "organizationId": of.id.as_ref(),
            "recipient": new.recipient,
        });
        let kind = match new.how {
            How::Agent { queue } => {
                let key = match_key(&asked.key, &new.message)?;
                let existing = NewConversation::existing(body);
                let call =
                    of.client()
                        .begin_conversation(&new.customer, queue.as_deref(), existing);
                let known = (key.as_deref(), print_of(asked));
                let record = self.once(of, "conversation", known, call).await?;
                return Ok(created(of, &record, None, "open"));
            }
            How::Text(text) => {
                event["textBody"] = text.into();
                "agentless"
            }
            How::Inbound { text, content } => {
                event["textBody"] = text.into();
                event["content"] = content.unwrap_or_default();
                "inbound"
            }
        };
        let Some(integration) = new.integration.as_deref().or(of.integration()) else {
            let what = "is missing, and the organisation has not just one";
            return Err(Problem::invalid(vec![("/integrationId".to_owned(), what)]));
        };
        event["kind"] = kind.into();
        event["integrationId"] = integration.into();
        let id = match_key(&asked.key, &new.message)?.unwrap_or_else(fresh);
        event["messageId"] = id.as_str().into();
        let record = self.deliver(of, (&id, print_of(asked)), &event).await?;
        Ok(created(of, &record, Some(&id), "sent"))
    }

    async fn send(&self, asked: &Asked, of: &Organization, new: NewMessage) -> Answer {
        let conversation = &asked.place.conversation;
        let id = match_key(&asked.key, &new.message)?.unwrap_or_else(fresh);
        let print = print_of(asked);
        let known = self.matching(of, &id, &print).await?;
        let record = match known.filter(|record| record.state.is_taken()) {
            Some(record) => record,
            None => {
                let communication = match new.communication {
                    Some(id) => id,
                    None => self.agents(of, conversation).await?,
                };
                let event = json!({
                    "messageId": id, "tenantId": of.tenant.as_ref(),
                    "organizationId": of.id.as_ref(), "kind": "conversation",
                    "conversationId": conversation, "communicationId": communication,
                    "textBody": new.text,
                });
                self.deliver(of, (&id, print), &event).await?
            }
        };
        let mut sent = json!({"messageId": id, "conversationId": conversation, "status": "sent"});
        if let Some(platform) = record.platform_message_id {
            sent["platformMessageId"] = platform.into();
        }
        Ok(ViewAnswer::json(&sent).with_status(201))
    }

    /// The communication on which messages of the agent go out.
    async fn agents(&self, of: &Organization, conversation: &str) -> Result<String, Problem> {
        let standing = self.standing(of, conversation).await?;
        if standing.end_time.is_some() {
            return Err(Problem::ended());
        }
        let found = standing.agents().map(|it| it.id.clone());
        found.ok_or_else(Problem::nobody)
    }

    async fn bring_in(&self, asked: &Asked, of: &Organization, new: NewParticipant) -> Answer {
        let conversation = &asked.place.conversation;
        let key = asked.key.as_deref();
        let known = (key, print_of(asked));
        let before = match key {
            Some(key) => {
                let id = format!("participant:{key}");
                self.matching(of, &id, &known.1).await?
            }
            None => None,
        };
        let standing = self.standing(of, conversation).await?;
        let done = |participant: &str| {
            let mut done = json!({"conversationId": conversation, "participantId": participant});
            match &new.target {
                Target::User(id) => done["userId"] = id.as_str().into(),
                Target::Queue(id) => done["queueId"] = id.as_str().into(),
            }
            ViewAnswer::json(&done).with_status(202)
        };
        // Who was replaced is no longer there to be replaced again.
        let taken = before.filter(|record| record.state.is_taken());
        if let Some(replaced) = taken.and_then(|record| record.platform_message_id) {
            return Ok(done(&replaced));
        }
        if standing.end_time.is_some() {
            return Err(Problem::ended());
        }
        let participant = match &new.participant {
            Some(id) => id.clone(),
            None => {
                let speaker = standing.speaker().ok_or_else(Problem::nobody)?;
                speaker.id.clone()
            }
        };
        let call = async {
            let client = of.client();
            let replaced = client.replace_participant(conversation, &participant, &new.target);
            replaced.await.map(|()| Sent {
                message: Some(participant.clone()),
                conversation: Some(conversation.clone()),
            })
        };
        self.once(of, "participant", known, call).await?;
        Ok(done(&participant))
    }

    async fn close(&self, asked: &Asked, of: &Organization) -> Answer {
        let id = &asked.place.conversation;
        self.turn(of).await?;
        match self.told(of, of.client().disconnect(id)).await {
            Ok(()) => {}
            // One that has ended cannot be ended, and that is as well.
            Err(SendError::Refused(refusal)) if matches!(refusal.status, 400 | 409 | 422) => {
                let standing = self.standing(of, id).await?;
                if standing.end_time.is_none() {
                    return Err(Problem::refused(&refusal, Problem::no_conversation()));
                }
            }
            Err(error) => return Err(Problem::of_call(error, Problem::no_conversation())),
        }
        Ok(ViewAnswer::json(&()).with_status(204))
    }

    async fn known(&self, of: &Organization, id: &str) -> Result<Option<Record>, Problem> {
        let known = self.sink.known(&key_of(of, id)).await;
        known.map_err(|failure| Problem::of_failure(&failure, false))
    }

    /// What is known of a request with this key, which has to have been the same one.
    async fn matching(
        &self,
        of: &Organization,
        id: &str,
        print: &str,
    ) -> Result<Option<Record>, Problem> {
        let known = self.known(of, id).await?;
        let before = known.as_ref().and_then(|record| record.request.as_ref());
        match before.is_some_and(|before| before != print) {
            true => Err(Problem::used_key()),
            false => Ok(known),
        }
    }

    /// A call of the platform, of which the organisation's breaker is told.
    async fn told<T>(
        &self,
        of: &Organization,
        call: impl Future<Output = Result<T, SendError>>,
    ) -> Result<T, SendError> {
        let answer = call.await;
        self.tell(
            of,
            match &answer {
                Ok(_) => false,
                Err(SendError::Refused(refusal)) => {
                    matches!(refusal.status, 401 | 408 | 429 | 500..)
                }
                Err(SendError::Unsent(_) | SendError::Uncertain(_)) => true,
            },
        );
        answer
    }

    fn tell(&self, of: &Organization, failed: bool) {
        let key = format!("{}/{}", of.tenant, of.id);
        self.shared.meter.tell_breaker(&key, failed);
    }

    /// Sends a message as the sink sends that of an event.
    async fn deliver(
        &self,
        of: &Organization,
        (id, print): (&str, String),
        event: &Value,
    ) -> Result<Record, Problem> {
        let _under_way = self.shared.begin(&key_of(of, id))?;
        let event = Event::parse(event.to_string(), &self.shared.paths, &self.shared.from);
        let event = event.map_err(|_| Problem::unreadable())?;
        let known = self.matching(of, id, &print).await?.unwrap_or_default();
        let (new, sends) = (known.state == State::New, !known.state.is_taken());
        if sends {
            self.turn(of).await?;
        }
        let key = key_of(of, id);
        if new {
            // It is written down with the first word about the message.
            let request = Some(print);
            self.sink.recent.put(&key, &Record { request, ..known });
        }
        let delivered = self.sink.deliver(&event, &self.shared.fields).await;
        if sends {
            let silent = |failure: &Failure| {
                failure.kind() != Kind::Rejected || {
                    let cause = failure.losses().first().map(|loss| loss.cause.reason);
                    cause == Some(UNANSWERED)
                }
            };
            self.tell(of, delivered.as_ref().is_err_and(silent));
        }
        let record = self.known(of, id).await?.unwrap_or_default();
        if record.state == State::New {
            self.sink.recent.forget(&key);
        }
        match delivered {
            Ok(()) => Ok(record),
            Err(failure) => {
                let uncertain = record.state == State::Unknown;
                Err(Problem::of_failure(&failure, uncertain))
            }
        }
    }

    /// Makes a call that makes something; with a key it is written down, and not made again.
    async fn once(
        &self,
        of: &Organization,
        what: &str,
        (key, print): (Option<&str>, String),
        call: impl Future<Output = Result<Sent, SendError>>,
    ) -> Result<Record, Problem> {
        let id = key.map(|key| format!("{what}:{key}"));
        let _under_way = id.as_ref().map(|id| self.shared.begin(&key_of(of, id)));
        let _under_way = _under_way.transpose()?;
        let mut record = Record::default();
        if let Some(id) = &id {
            record = self.matching(of, id, &print).await?.unwrap_or_default();
            record.request = Some(print);
            match record.state {
                State::Sending | State::Unknown if of.policy == Policy::AtMostOnce => {
                    return Err(Problem::still_uncertain());
                }
                state if state.is_taken() => return Ok(record),
                _ => {}
            }
        }
        self.turn(of).await?;
        record.begin();
        self.note(of, &id, &record).await?;
        let missing = match what {
            "participant" => Problem::no_target(),
            _ => Problem::no_queue(),
        };
        match self.told(of, call).await {
            Ok(sent) => {
                record.sent(sent);
                self.note(of, &id, &record).await?;
                Ok(record)
            }
            Err(error) => {
                let silent = matches!(&error, SendError::Refused(refusal) if matches!(refusal.status, 502 | 504));
                record.state = match &error {
                    SendError::Uncertain(_) => State::Unknown,
                    _ if silent => State::Unknown,
                    _ => State::Waiting,
                };
                // Where this cannot be written, it counts as uncertain.
                let _ = self.note(of, &id, &record).await;
                Err(Problem::of_call(error, missing))
            }
        }
    }

    async fn note(
        &self,
        of: &Organization,
        id: &Option<String>,
        record: &Record,
    ) -> Result<(), Problem> {
        let Some(id) = id else { return Ok(()) };
        let written = self.sink.book.write(&key_of(of, id), record).await;
        written.map_err(|failure| Problem::of_failure(&failure, false))
    }
}

fn key_of(of: &Organization, id: &str) -> String {
    format!("{}/{}/{id}", of.tenant, of.id)
}

/// The key of a request: that of its header, or the message's id; they are one and the same.
fn match_key(header: &Option<String>, message: &Option<String>) -> Result<Option<String>, Problem> {
    match (header, message) {
        (Some(header), Some(message)) if header != message => Err(Problem::two_keys()),
        (header, message) => Ok(header.as_ref().or(message.as_ref()).cloned()),
    }
}

/// An id that nobody else has: a message without one is sent as often as it is asked for.
fn fresh() -> String {
    let mut random = [0; 16];
    // Without randomness the time tells requests apart.
    if getrandom::fill(&mut random).is_err() {
        let now = jiff::Timestamp::now().as_nanosecond();
        random = now.to_le_bytes();
    }
    format!("api-{:032x}", u128::from_le_bytes(random))
}

/// A hash of what is asked for: whether it is the same that comes again with a key.
fn print_of(asked: &Asked) -> String {
    let mut hash = Sha256::new();
    hash.update(&asked.place.conversation);
    hash.update([asked.place.what as u8]);
    // Whatever the order of members and the spaces between them.
    match serde_json::from_slice::<Value>(&asked.body) {
        Ok(body) => hash.update(body.to_string()),
        Err(_) => hash.update(&asked.body),
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..18])
}

fn organization_of(query: &[(String, String)]) -> Result<Option<String>, Problem> {
    match query {
        [] => Ok(None),
        [(name, value)] if name == "organization" && body::is_id(value) => Ok(Some(value.clone())),
        _ => Err(Problem::parameter("organization")),
    }
}

fn created(of: &Organization, record: &Record, id: Option<&str>, status: &str) -> ViewAnswer {
    let mut made = json!({
        "tenantId": of.tenant.as_ref(), "organizationId": of.id.as_ref(), "status": status,
    });
    if let Some(id) = id {
        made["messageId"] = id.into();
        if let Some(platform) = &record.platform_message_id {
            made["platformMessageId"] = platform.as_str().into();
        }
    }
    let Some(conversation) = &record.conversation_id else {
        return ViewAnswer::json(&made).with_status(202);
    };
    made["conversationId"] = conversation.as_str().into();
    let mut place = url::Url::parse("http://here/api/v1/tenants")
        .unwrap_or_else(|_| unreachable!("the text above is a URL"));
    if let Ok(mut path) = place.path_segments_mut() {
        path.extend([&of.tenant, "conversations", conversation]);
    }
    place.query_pairs_mut().append_pair("organization", &of.id);
    let place = format!("{}?{}", place.path(), place.query().unwrap_or_default());
    let made = ViewAnswer::json(&made).with_status(201);
    made.with_header("location", place)
}

/// A conversation without names, addresses and texts.
fn shown(of: &Organization, standing: &Standing) -> ViewAnswer {
    let participants = standing.participants.iter().map(|one| {
        let communication =
            (one.messages.iter().rev().find(|it| it.is_open())).or(one.messages.last());
        let state = communication.map_or("unknown", |it| it.state.as_str());
        let mut shown = json!({
            "participantId": one.id, "purpose": one.purpose, "state": state,
        });
        let mut also = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                shown[name] = value.as_str().into();
            }
        };
        also("userId", one.user_id.as_ref());
        also("queueId", one.queue_id.as_ref());
        also(
            "communicationId",
            communication.map(|Communication { id, .. }| id),
        );
        shown
    });
    let ended = standing.end_time.is_some();
    let mut shown = json!({
        "conversationId": standing.id, "tenantId": of.tenant.as_ref(),
        "organizationId": of.id.as_ref(), "state": if ended { "ended" } else { "open" },
        "participants": participants.collect::<Vec<_>>(),
    });
    for (name, time) in [
        ("startTime", &standing.start_time),
        ("endTime", &standing.end_time),
    ] {
        if let Some(time) = time {
            shown[name] = time.as_str().into();
        }
    }
    ViewAnswer::json(&shown)
}
