//! What is answered: problems with types that stay as they are, and what was done.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::genesys::{Refusal, SendError};
use crate::client::tenants::Lookup;
use crate::failure::{Failure, Kind, UNANSWERED};
use crate::observe::ViewAnswer;

/// In front of the name of a problem.
const URN: &str = "urn:trunkline:problem:";
/// When it is worth coming again, where nobody says.
const SOON: Duration = Duration::from_secs(5);

/// Something wrong with a member of a body: where (a JSON pointer), and what.
pub(super) type Mistake = (String, &'static str);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink::open_messaging) struct Problem {
    status: u16,
    name: &'static str,
    detail: &'static str,
    mistakes: Vec<Mistake>,
    parameter: Option<&'static str>,
    code: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: u16, name: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            name,
            detail,
            mistakes: Vec::new(),
            parameter: None,
            code: None,
            retry_after: None,
        }
    }

    fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = Some(wait.unwrap_or(SOON));
        self
    }

    pub fn busy() -> Self {
        let detail = "too many requests are under way, or the pipeline is being stopped";
        Self::new(503, "busy", detail).after(None)
    }

    pub fn uncertain() -> Self {
        let detail = "there was no answer in time: it may have been done; with an Idempotency-Key it \
                      is safe to ask again";
        Self::new(504, "uncertain", detail)
    }

    /// An earlier try with the same key ended so, and the tenant wants nothing done twice.
    pub fn still_uncertain() -> Self {
        let detail = "nobody knows whether an earlier request with this key was done, and the \
                      organisation's policy is not to risk doing it twice";
        Self::new(409, "uncertain", detail)
    }

    pub fn in_progress() -> Self {
        let detail = "a request with the same key is being worked on";
        Self::new(409, "in-progress", detail).after(Some(Duration::from_secs(1)))
    }

    pub fn parameter(name: &'static str) -> Self {
        let detail = "a parameter of the query is not known, is there twice, or makes no sense";
        Self {
            parameter: Some(name),
            ..Self::new(400, "bad-parameter", detail)
        }
    }

    pub fn key() -> Self {
        let detail = "`Idempotency-Key` is not 1 to 128 letters, digits or signs of an id";
        Self::new(422, "bad-key", detail)
    }

    pub fn two_keys() -> Self {
        let detail = "`Idempotency-Key` is another than the message's id";
        Self::new(409, "conflicting-key", detail)
    }

    /// As draft-ietf-httpapi-idempotency-key-header has it.
    pub fn used_key() -> Self {
        let detail = "`Idempotency-Key` was used for another request before";
        Self::new(422, "used-key", detail)
    }

    pub fn two_organizations() -> Self {
        let detail = "the organisation of the body is another than that of the query";
        Self::new(409, "conflicting-organization", detail)
    }

    pub fn not_json_type() -> Self {
        Self::new(415, "not-json", "the body has to be `application/json`")
    }

    pub fn unreadable() -> Self {
        Self::new(400, "unreadable", "the body is no JSON")
    }

    pub fn invalid(mistakes: Vec<Mistake>) -> Self {
        Self {
            mistakes,
            ..Self::new(422, "invalid", "the body is not what it should be")
        }
    }

    pub fn which_organization() -> Self {
        let detail = "the tenant has several organisations: one has to be named";
        Self {
            mistakes: vec![("/organizationId".to_owned(), "is missing")],
            ..Self::new(422, "organization-required", detail)
        }
    }

    pub fn no_conversation() -> Self {
        let detail = "there is no conversation of this id";
        Self::new(404, "unknown-conversation", detail)
    }

    pub fn no_integration() -> Self {
        let detail = "the organisation may use no integration of this id";
        Self::new(404, "unknown-integration", detail)
    }

    pub fn no_queue() -> Self {
        Self::new(404, "unknown-queue", "there is no queue of this id")
    }

    pub fn no_target() -> Self {
        let detail = "there is no such participant, user or queue";
        Self::new(404, "unknown-participant", detail)
    }

    pub fn nobody() -> Self {
        let detail = "nobody speaks for the organisation in this conversation now";
        Self::new(409, "nobody-there", detail)
    }

    pub fn ended() -> Self {
        Self::new(409, "conversation-ended", "the conversation has ended")
    }

    pub fn used_up() -> Self {
        let detail = "the budget of the organisation is used up";
        Self::new(429, "rate-limited", detail).after(Some(Duration::from_secs(30)))
    }

    pub fn breaker() -> Self {
        let detail = "the platform fails for this organisation, and is left alone for a while";
        Self::new(503, "breaker-open", detail).after(Some(Duration::from_secs(30)))
    }

    fn away(retry_after: Option<Duration>) -> Self {
        let detail = "the platform does not answer, or not well";
        Self::new(503, "platform-away", detail).after(retry_after)
    }

    fn statuses_away(retry_after: Option<Duration>) -> Self {
        let detail = "the keeper of statuses is away: nothing is sent meanwhile";
        Self::new(503, "statuses-away", detail).after(retry_after)
    }

    pub fn refused(refusal: &Refusal, missing: Self) -> Self {
        let with_code = |problem: Self| Self {
            code: super::super::plain_code(&refusal.code).map(str::to_owned),
            ..problem
        };
        match refusal.status {
            404 | 410 => missing,
            429 => with_code(Self::used_up().after(refusal.retry_after)),
            502 | 504 => Self {
                retry_after: refusal.retry_after,
                ..Self::uncertain()
            },
            401 | 408 | 500.. => with_code(Self::away(refusal.retry_after)),
            403 => {
                let detail = "the platform does not let us do this";
                with_code(Self::new(502, "platform-forbids", detail))
            }
            _ => {
                let detail = "the platform does not take this as it is";
                with_code(Self::new(422, "platform-refused", detail))
            }
        }
    }

    /// Of a call; `missing` is what 404 means there.
    pub fn of_call(error: SendError, missing: Self) -> Self {
        match error {
            SendError::Refused(refusal) => Self::refused(&refusal, missing),
            SendError::Unsent(failure) => Self::away(failure.retry_after()),
            SendError::Uncertain(_) => Self::uncertain(),
        }
    }

    /// Of a message that the sink could not deliver.
    pub fn of_failure(failure: &Failure, uncertain: bool) -> Self {
        let cause = failure.losses().first().map(|loss| loss.cause.clone());
        let reason = cause.as_ref().map_or("", |cause| cause.reason);
        let wait = failure.retry_after();
        match reason {
            "uncertain" => Self::still_uncertain(),
            UNANSWERED => Self::uncertain(),
            _ if uncertain => Self {
                retry_after: wait,
                ..Self::uncertain()
            },
            "not_found" => Self::no_conversation(),
            "integration_not_allowed" => Self::no_integration(),
            "statuses_away" | "status_not_taken" => Self::statuses_away(wait),
            "throttled" => Self::used_up().after(wait),
            _ if failure.kind() != Kind::Rejected => Self::away(wait),
            "platform_refused" => {
                let detail = "the platform does not take this as it is";
                Self::new(422, "platform-refused", detail)
            }
            _ => Self::invalid(vec![(String::new(), "is not what the platform takes")]),
        }
    }
}

impl From<Lookup> for Problem {
    fn from(lookup: Lookup) -> Self {
        match lookup {
            Lookup::UnknownTenant => {
                Self::new(404, "unknown-tenant", "there is no tenant of this id")
            }
            Lookup::UnknownOrganization => {
                let detail = "the tenant has no organisation of this id";
                Self::new(404, "unknown-organization", detail)
            }
            Lookup::Away(failure) => {
                let detail = "the service that knows the tenants is away";
                Self::new(503, "tenants-away", detail).after(failure.retry_after())
            }
        }
    }
}

impl From<Problem> for ViewAnswer {
    fn from(problem: Problem) -> Self {
        let mut members = json!({"type": format!("{URN}{}", problem.name)});
        if !problem.mistakes.is_empty() {
            let mistakes = problem.mistakes.iter();
            let mistakes = mistakes.map(|(path, detail)| json!({"path": path, "detail": detail}));
            members["errors"] = mistakes.collect();
        }
        if let Some(code) = problem.code {
            members["code"] = Value::String(code);
        }
        let answer = Self::problem(problem.status, problem.detail, problem.parameter);
        let answer = answer.with_members(members);
        match problem.retry_after {
            // Whole seconds, and never none.
            Some(wait) => {
                answer.with_header("retry-after", wait.as_secs_f64().ceil().max(1.0) as u64)
            }
            None => answer,
        }
    }
}
