//! What can be found out about a bucket without changing anything in it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{BucketVersioningStatus, Grant, PublicAccessBlockConfiguration};
use futures::StreamExt;
use reqwest::Url;

use super::cloud::Cloud;
use super::s3::{NAME, S3};
use super::{Access, Bucket, Location, Object, Store, rights};
use crate::client::aws::{self, Answer};
use crate::client::http;
use crate::failure::Failure;
use crate::layer::{Finding, Grade};

/// For each question; several are asked at the same time.
pub(super) const QUESTION: Duration = Duration::from_secs(8);
/// Those who are everybody, in a list of grants.
const EVERYBODY: [&str; 2] = [
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
];

impl Bucket {
    /// Looks, without changing anything, whether the store can be reached and read, whether it is
    /// encrypted on the way and at rest, whether it is public, and whether the credentials can do
    /// more than they need, as far as that can be found out without trying. Ends after an error.
    pub async fn probe(&self) -> Vec<Finding> {
        let mut found = vec![on_the_way(&self.location)];
        let (readable, can_read) = self.readable().await;
        found.extend(readable);
        if !can_read {
            return found;
        }
        let (rest, open) = match &self.access {
            Access::S3(s3) => {
                futures::join!(of_s3(s3, self.prefix()), anonymous(&self.location))
            }
            Access::Cloud(cloud) => {
                futures::join!(of_cloud(cloud, &self.location), anonymous(&self.location))
            }
            Access::Folder(_) => return found,
        };
        found.extend(rest);
        found.extend(open);
        found
    }

    /// Whether objects can be listed and read, and whether that is no error.
    async fn readable(&self) -> (Vec<Finding>, bool) {
        let listed = match tokio::time::timeout(QUESTION, self.first()).await {
            Ok(listed) => listed,
            Err(_) => Err(Failure::transient("timeout", "no answer within 8 s")),
        };
        let object = match listed {
            Err(failure) => return (vec![error(&failure)], false),
            Ok(None) => {
                let message = "it can be listed; there is no object yet to try reading";
                return (vec![Finding::new(Grade::Unknown, message)], true);
            }
            Ok(Some(object)) => object,
        };
        let reading = self.read(&object.key, 0..object.size.min(1), None);
        let finding = match tokio::time::timeout(QUESTION, reading).await {
            Ok(Ok(_)) => Finding::new(Grade::Good, "objects can be listed and read"),
            Ok(Err(failure)) => error(&failure.into()),
            Err(_) => Finding::new(Grade::Error, "an object could not be read within 8 s"),
        };
        let good = finding.grade == Grade::Good;
        (vec![finding], good)
    }

    /// An object that has something in it, if the beginning of the listing has one.
    async fn first(&self) -> Result<Option<Object>, Failure> {
        let mut pages = self.list(self.prefix(), None);
        let mut first = None;
        for _ in 0..2 {
            let Some(page) = pages.next().await else {
                break;
            };
            for object in page? {
                if object.size > 0 {
                    return Ok(Some(object));
                }
                first.get_or_insert(object);
            }
        }
        Ok(first)
    }
}

fn error(failure: &Failure) -> Finding {
    let told = failure
        .losses()
        .first()
        .map(|loss| loss.cause.message.clone());
    Finding::new(Grade::Error, told.unwrap_or_default())
}

fn on_the_way(location: &Location) -> Finding {
    let endpoint = match &location.store {
        Store::S3(s3) => s3.endpoint.as_ref(),
        Store::Google(google) => google.endpoint.as_ref(),
        Store::Azure(azure) => azure.endpoint.as_ref(),
        Store::Folder(_) => {
            return Finding::new(Grade::Good, "a local folder: nothing goes over a network");
        }
    };
    match endpoint.is_some_and(|endpoint| endpoint.scheme() == "http") {
        true => Finding::new(
            Grade::Warning,
            "not encrypted on the way: `endpoint` is an `http` URL",
        ),
        false => Finding::new(Grade::Good, "encrypted on the way (TLS)"),
    }
}

async fn of_s3(s3: &S3, prefix: &str) -> Vec<Finding> {
    let (client, bucket) = (&s3.client, s3.settings.bucket.as_str());
    let (rest, public, versions, rights) = futures::join!(
        at_rest(client, bucket, s3),
        public(client, bucket, s3),
        versioned(client, bucket, s3),
        rights::of_s3(s3, prefix)
    );
    let mut found = vec![rest];
    found.extend(public);
    found.extend(versions);
    found.extend(rights);
    found
}

/// The answer to a question, or the code of the error; none where there was no answer.
pub(super) async fn ask<T, E>(
    question: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Option<String>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match tokio::time::timeout(QUESTION, question).await {
        Err(_) => Err(None),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match aws::answer(&error, NAME) {
            Answer::Error { code, .. } => Some(code),
            Answer::None(_) => None,
        }),
    }
}

fn unknown(what: &str, code: Option<&str>, permission: &str) -> Finding {
    let why = match code {
        Some("AccessDenied") => format!("allow s3:{permission}, and it can be found out"),
        _ => "the server does not say".to_owned(),
    };
    Finding::new(Grade::Unknown, format!("{what}: {why}"))
}

async fn at_rest(client: &Client, bucket: &str, s3: &S3) -> Finding {
    let asked = client.get_bucket_encryption().bucket(bucket);
    let answer = ask(asked.set_expected_bucket_owner(s3.owner()).send()).await;
    let rules = match &answer {
        Ok(answer) => answer
            .server_side_encryption_configuration()
            .map(|configuration| configuration.rules())
            .unwrap_or_default(),
        Err(Some(code)) if code == "ServerSideEncryptionConfigurationNotFoundError" => &[],
        Err(code) => {
            return unknown(
                "whether it is encrypted at rest",
                code.as_deref(),
                "GetEncryptionConfiguration",
            );
        }
    };
    let default = rules
        .iter()
        .find_map(|rule| rule.apply_server_side_encryption_by_default());
    match default.map(|default| default.sse_algorithm().as_str()) {
        Some(kind) if kind.starts_with("aws:kms") => Finding::new(
            Grade::Good,
            "encrypted at rest by a key of KMS (SSE-KMS): the credentials need kms:Decrypt",
        ),
        Some(_) => Finding::new(Grade::Good, "encrypted at rest by the store (SSE-S3)"),
        None => Finding::new(
            Grade::Warning,
            "nothing encrypts new objects at rest: set the bucket's default encryption",
        ),
    }
}

async fn public(client: &Client, bucket: &str, s3: &S3) -> Vec<Finding> {
    let owner = s3.owner();
    let block = client.get_public_access_block().bucket(bucket);
    let policy = client.get_bucket_policy_status().bucket(bucket);
    let acl = client.get_bucket_acl().bucket(bucket);
    let (block, policy, acl) = futures::join!(
        ask(block.set_expected_bucket_owner(owner.clone()).send()),
        ask(policy.set_expected_bucket_owner(owner.clone()).send()),
        ask(acl.set_expected_bucket_owner(owner).send())
    );
    let blocked = block.as_ref().ok();
    let blocked = blocked.and_then(|block| block.public_access_block_configuration());
    if blocked.is_some_and(is_whole) {
        return vec![Finding::new(Grade::Good, "public access is blocked")];
    }
    let mut found = Vec::new();
    let is_public = |status: &aws_sdk_s3::types::PolicyStatus| status.is_public() == Some(true);
    match &policy {
        Ok(answer) if answer.policy_status().is_some_and(is_public) => found.push(Finding::new(
            Grade::Warning,
            "the bucket's policy is public: anybody can do what it allows",
        )),
        Err(code) if code.as_deref() != Some("NoSuchBucketPolicy") => found.push(unknown(
            "whether its policy is public",
            code.as_deref(),
            "GetBucketPolicyStatus",
        )),
        _ => {}
    }
    match &acl {
        Ok(answer) if answer.grants().iter().any(is_for_everybody) => found.push(Finding::new(
            Grade::Warning,
            "the bucket's access control list is public: it grants rights to anybody",
        )),
        Err(code) => found.push(unknown(
            "whether its access control list is public",
            code.as_deref(),
            "GetBucketAcl",
        )),
        Ok(_) => {}
    }
    if found.is_empty() {
        let message = "neither its policy nor its access control list is public; public access is \
             not blocked, though";
        found.push(Finding::new(Grade::Good, message));
    }
    found
}

fn is_whole(block: &PublicAccessBlockConfiguration) -> bool {
    let all = [
        block.block_public_acls(),
        block.block_public_policy(),
        block.ignore_public_acls(),
        block.restrict_public_buckets(),
    ];
    all.iter().all(|one| *one == Some(true))
}

fn is_for_everybody(grant: &Grant) -> bool {
    let uri = grant.grantee().and_then(|grantee| grantee.uri());
    uri.is_some_and(|uri| EVERYBODY.contains(&uri))
}

async fn versioned(client: &Client, bucket: &str, s3: &S3) -> Option<Finding> {
    let asked = client.get_bucket_versioning().bucket(bucket);
    let answer = ask(asked.set_expected_bucket_owner(s3.owner()).send()).await;
    let is_on = answer.ok()?.status() == Some(&BucketVersioningStatus::Enabled);
    is_on.then(|| {
        Finding::new(
            Grade::Good,
            "versioned: what is overwritten can be restored",
        )
    })
}

/// What the settings say about the other two, and what Google says of rights.
async fn of_cloud(cloud: &Cloud, location: &Location) -> Vec<Finding> {
    let (endpoint, mut found) = match &location.store {
        Store::Google(google) => (google.endpoint.is_some(), Vec::new()),
        Store::Azure(azure) => (azure.endpoint.is_some(), rights::of_azure(azure)),
        Store::S3(_) | Store::Folder(_) => return Vec::new(),
    };
    found.push(match endpoint {
        true => Finding::new(
            Grade::Unknown,
            "whether it is encrypted at rest: the server of `endpoint` does not say",
        ),
        false => Finding::new(
            Grade::Good,
            "encrypted at rest, as this service always does",
        ),
    });
    if let Store::Google(google) = &location.store {
        found.push(rights::of_google(cloud, google).await);
    }
    found
}

/// Asks for a listing without credentials, as anybody could.
async fn anonymous(location: &Location) -> Option<Finding> {
    let url = anonymous_url(location)?;
    let client = http::client(QUESTION).ok()?;
    let status = client.get(url).send().await.ok()?.status().as_u16();
    match status {
        200 => Some(Finding::new(
            Grade::Warning,
            "public: anybody can list it without credentials",
        )),
        400..500 => Some(Finding::new(
            Grade::Good,
            "not listed to those who have no credentials",
        )),
        _ => None,
    }
}

fn anonymous_url(location: &Location) -> Option<Url> {
    const LIST: &str = "list-type=2&max-keys=1";
    let base = |endpoint: &Option<Url>, default: String| match endpoint {
        Some(endpoint) => endpoint.as_str().trim_end_matches('/').to_owned(),
        None => default,
    };
    let url = match &location.store {
        Store::S3(s3) if s3.endpoint.is_some() && !s3.path_style => return None,
        Store::S3(s3) => {
            let default = match &s3.region {
                Some(region) => format!("https://s3.{region}.amazonaws.com"),
                None => "https://s3.amazonaws.com".to_owned(),
            };
            format!("{}/{}?{LIST}", base(&s3.endpoint, default), s3.bucket)
        }
        Store::Google(google) => {
            let default = "https://storage.googleapis.com".to_owned();
            format!(
                "{}/{}?{LIST}",
                base(&google.endpoint, default),
                google.bucket
            )
        }
        Store::Azure(azure) => {
            let default = format!("https://{}.blob.core.windows.net", azure.account);
            let base = base(&azure.endpoint, default);
            let query = "restype=container&comp=list&maxresults=1";
            format!("{base}/{}?{query}", azure.container)
        }
        Store::Folder(_) => return None,
    };
    Url::parse(&url).ok()
}

#[cfg(test)]
mod tests {
    use super::super::location;
    use super::*;

    #[test]
    fn plain_http_is_told() {
        let mut settings = location::Azure {
            container: "c".into(),
            account: "a".into(),
            access_key: None,
            sas_token: None,
            endpoint: None,
        };
        let at = |settings: location::Azure| {
            on_the_way(&Location {
                store: Store::Azure(settings),
                prefix: String::new(),
            })
            .grade
        };
        assert_eq!(at(settings.clone()), Grade::Good);
        settings.endpoint = Some("http://127.0.0.1:1".parse().unwrap());
        assert_eq!(at(settings), Grade::Warning);
    }
}
