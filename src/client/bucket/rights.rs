//! Whether credentials could do more than they need: found out without changing anything.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use serde_json::Value;

use super::cloud::Cloud;
use super::location;
use super::probe::{QUESTION, ask};
use super::s3::S3;
use crate::client::http;
use crate::layer::{Finding, Grade};

/// An upload that there is not: none has a name like this.
const NO_UPLOAD: &str = "trunkline-probe-no-such-upload";
/// What must not be allowed at Google's, and what it is called.
const GOOGLE: [(&str, &str); 3] = [
    ("storage.objects.create", "write"),
    ("storage.objects.update", "change"),
    ("storage.objects.delete", "delete"),
];

/// Asks to complete an upload that there is not. That needs the right to write (s3:PutObject: "API
/// operations and permissions" of the Amazon S3 User Guide), which is looked at first, and then fails
/// for everybody: nothing is written by any answer. `POST` with an `uploadId` means nothing else to any
/// server, so one that knows no uploads refuses it.
///
/// Deleting cannot be asked like that. A deletion of a key that is not there succeeds, and leaves a mark
/// where the bucket keeps versions; and the policies that would tell (iam:SimulatePrincipalPolicy,
/// s3:GetBucketPolicy) are for administrators, not for who reads exports, and leave out the conditions of
/// an organization.
pub(super) async fn of_s3(s3: &S3, prefix: &str) -> Vec<Finding> {
    let part = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"d41d8cd98f00b204e9800998ecf8427e\"");
    let parts = CompletedMultipartUpload::builder().parts(part.build());
    let asked = s3
        .client
        .complete_multipart_upload()
        .bucket(&s3.settings.bucket)
        .key(format!("{prefix}.trunkline-probe"))
        .upload_id(NO_UPLOAD)
        .multipart_upload(parts.build())
        .set_expected_bucket_owner(s3.owner());
    let answer = ask(asked.send()).await;
    let writes = match answer.as_ref().err().map(Option::as_deref) {
        Some(Some("NoSuchUpload")) => Finding::new(
            Grade::Warning,
            "the credentials may also write (s3:PutObject): they need s3:ListBucket and \
             s3:GetObject (kms:Decrypt where KMS encrypts), and nothing else",
        ),
        Some(Some("AccessDenied")) => Finding::new(Grade::Good, "the credentials may not write"),
        _ => Finding::new(
            Grade::Unknown,
            "whether the credentials may also write: the server does not say",
        ),
    };
    let deletes = Finding::new(
        Grade::Unknown,
        "whether the credentials may also delete cannot be asked without deleting: they need no \
         s3:DeleteObject",
    );
    vec![writes, deletes]
}

/// Asks Google which of these rights the credentials have; whoever asks may ask that of itself ("Bucket
/// IAM: testIamPermissions" of its JSON API).
pub(super) async fn of_google(cloud: &Cloud, settings: &location::Google) -> Finding {
    let unknown = |why: &str| {
        let message = format!(
            "whether the credentials may also write or delete: {why}; the role Storage Object \
             Viewer is all they need"
        );
        Finding::new(Grade::Unknown, message)
    };
    let asked = tokio::time::timeout(QUESTION, held(cloud, settings)).await;
    let Some(held) = asked.ok().flatten() else {
        return unknown("the server does not say");
    };
    let more = GOOGLE
        .iter()
        .filter(|(right, _)| held.iter().any(|it| it == right));
    let more: Vec<&str> = more.map(|(_, name)| *name).collect();
    match more.is_empty() {
        true => Finding::new(Grade::Good, "the credentials may neither write nor delete"),
        false => {
            let more = more.join(", ");
            let message = format!(
                "the credentials may do more than read: {more}; the role Storage Object Viewer is \
                 all they need"
            );
            Finding::new(Grade::Warning, message)
        }
    }
}

/// Those of the rights that are held.
async fn held(cloud: &Cloud, settings: &location::Google) -> Option<Vec<String>> {
    let base = match &settings.endpoint {
        Some(endpoint) => endpoint.as_str().trim_end_matches('/'),
        None => "https://storage.googleapis.com",
    };
    let url = format!(
        "{base}/storage/v1/b/{}/iam/testPermissions",
        settings.bucket
    );
    let wanted = GOOGLE.map(|(right, _)| ("permissions", right));
    let mut request = http::client(QUESTION).ok()?.get(url).query(&wanted);
    if let Some(bearer) = cloud.bearer().await {
        request = request.bearer_auth(bearer.expose());
    }
    let answer = request.send().await.ok()?;
    // Without `Content-Length` it could be without end.
    let small = answer
        .content_length()
        .is_some_and(|length| length < 1 << 16);
    if !answer.status().is_success() || !small {
        return None;
    }
    let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
    // Other servers answer with other things; this one names what it is.
    if answer.get("kind")?.as_str()? != "storage#testIamPermissionsResponse" {
        return None;
    }
    let held = answer.get("permissions").and_then(Value::as_array);
    let held = held.into_iter().flatten().filter_map(Value::as_str);
    Some(held.map(str::to_owned).collect())
}

/// What a key of Azure's, or a signature, allows by its own words.
pub(super) fn of_azure(azure: &location::Azure) -> Vec<Finding> {
    if azure.access_key.is_some() {
        let message = "a key of the account can do everything in it: a shared access signature \
             (`sas_token`) with the rights read and list is enough";
        return vec![Finding::new(Grade::Warning, message)];
    }
    let Some(token) = &azure.sas_token else {
        let message = "whether the identity could also write or delete: the role Storage Blob Data \
             Reader is all it needs";
        return vec![Finding::new(Grade::Unknown, message)];
    };
    let token = token.expose().trim_start_matches('?').as_bytes();
    let rights = url::form_urlencoded::parse(token).find(|(name, _)| name == "sp");
    let rights = rights.map(|(_, rights)| rights).unwrap_or_default();
    // Letters of "Permissions for a directory, container, or blob".
    let names = [
        ('a', "add"),
        ('c', "create"),
        ('w', "write"),
        ('d', "delete"),
        ('x', "delete versions"),
        ('y', "delete for good"),
        ('m', "move"),
        ('o', "change owners"),
        ('p', "change permissions"),
        ('i', "change immutability"),
    ];
    let more: Vec<_> = names
        .iter()
        .filter(|(letter, _)| rights.contains(*letter))
        .collect();
    let more: Vec<_> = more.into_iter().map(|(_, name)| *name).collect();
    vec![match (rights.is_empty(), more.is_empty()) {
        (true, _) => Finding::new(
            Grade::Unknown,
            "what the shared access signature allows: a stored policy says it",
        ),
        (false, true) => Finding::new(Grade::Good, "the signature allows no more than reading"),
        (false, false) => Finding::new(
            Grade::Warning,
            format!(
                "the shared access signature allows more than reading: {}",
                more.join(", ")
            ),
        ),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Secret;

    fn azure(key: Option<&str>, token: Option<&str>) -> location::Azure {
        location::Azure {
            container: "c".into(),
            account: "a".into(),
            access_key: key.map(Secret::new),
            sas_token: token.map(Secret::new),
            endpoint: None,
        }
    }

    #[test]
    fn a_signature_that_can_write_is_told() {
        let grade = |key, token| of_azure(&azure(key, token))[0].grade;
        assert_eq!(grade(None, Some("?sv=1&sp=rl&sig=hush")), Grade::Good);
        assert_eq!(grade(None, Some("sp=rwdl&sig=hush")), Grade::Warning);
        assert_eq!(grade(None, Some("si=policy&sig=hush")), Grade::Unknown);
        assert_eq!(grade(Some("hush"), None), Grade::Warning);
        let told = &of_azure(&azure(None, Some("sp=rwd&sig=hush")))[0].message;
        assert!(
            told.ends_with("write, delete") && !told.contains("hush"),
            "{told}"
        );
    }
}
