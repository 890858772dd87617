//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// What each field means.
pub const ABOUT: &[About] = &[
    ("bucket", "The name of a bucket of S3; or say `url`."),
    (
        "url",
        "`s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, or a folder of this machine.",
    ),
    (
        "prefix",
        "With what keys begin, behind the folder of `url`.",
    ),
    (
        "region",
        "The region; default what the machine's environment says.",
    ),
    ("endpoint", "Another server than the provider's."),
    (
        "path_style",
        "The bucket in the path instead of the host's name; default true with an `endpoint`.",
    ),
    (
        "expected_bucket_owner",
        "The account that must own the bucket.",
    ),
    ("request_payer", "Whoever asks pays; default false."),
    ("auth", "The credentials; default those of the machine."),
    ("auth.access_key_id", "S3: the id of the access key."),
    ("auth.secret_access_key", "S3: the secret access key."),
    (
        "auth.session_token",
        "S3: the token of temporary credentials.",
    ),
    (
        "auth.service_account",
        "Google: the key of a service account, as JSON or as the path of its file.",
    ),
    ("auth.account", "Azure: the name of the storage account."),
    ("auth.access_key", "Azure: a key of the account, in base64."),
    ("auth.sas_token", "Azure: a shared access signature."),
];
