//! UploadPart, and the early response for a known part.
//!
//! Guarantees: a part is known if its SHA-256 and length are recorded in its session, in that of an
//! abandoned predecessor, or, where the client waits, in that of a complete object. If the client
//! waits for `100 Continue`, a known part is answered before any of its body is requested;
//! otherwise its body is read to the end and verified, but not stored again. If a client
//! disconnects in the middle of a part, its session records that. Source:
//! docs/clients.md#rules-for-the-early-answer;
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>.

use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderValue, StatusCode};

use super::error::S3Error;
use super::{AuthedRequest, HandlerResult, S3Api, checksums, empty_reply, payload_error};
use crate::accounts::Access;
use crate::digest::Checksum;
use crate::object::{Body, ETag, PartNumber};
use crate::upload::{self, PartAdmission, PartClaim, Record, Session};
use crate::web::{Declared, Payload, Progress, Reply, RequestBody, waits_for_continue};

/// A client that waits for `100 Continue` sends its body anyway after about a second.
const EARLY_ANSWER_TIMEOUT: Duration = Duration::from_millis(900);

impl S3Api {
    pub(super) async fn upload_part(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        let number = part_number(&request)?;
        let declared = Declared::stated(&request.head, &request.payload)?;
        let len_bytes = declared.len_bytes.ok_or_else(S3Error::length_required)?;
        let session = self.upload_of(&request, Access::Write).await?;
        let root = session.root();
        checksums::require_of_upload(&declared, &root)?;
        declared.require_one_sha256()?;
        let named = root.s3.as_ref().and_then(|s3| s3.checksum);
        let algorithm = declared.algorithm();
        let waits = self.waits(&request, &body.progress());
        let reads_bucket = request.identity.allows(Access::Read, &root.bucket, "");
        let (sha256, md5) = (declared.sha256, declared.md5);
        let claim = PartClaim { sha256, md5, len_bytes, algorithm, waits, reads_bucket };
        let early = tokio::time::timeout(EARLY_ANSWER_TIMEOUT, session.admit_part(number, claim));
        let (admission, in_time) = match early.await {
            Ok(admission) => (admission?, true),
            // Too late to save the client from sending its body; the part may still be known.
            Err(_) => {
                let claim = PartClaim { waits: false, ..claim };
                (session.admit_part(number, claim).await?, false)
            }
        };
        let shown = algorithm.or(named.map(|(algorithm, _)| algorithm));
        let recorded = |record: &Record| shown.and_then(|algorithm| record.checksum(algorithm));
        let mut guard = DisconnectGuard(Some(session));
        let (etag, checksum) = match admission {
            PartAdmission::Known(entry) => {
                self.shared.metrics.chunk_known();
                // The SHA-256 agrees; what else the head states must agree too.
                let agrees = entry.agrees(declared.md5, declared.checksum.as_ref());
                if !agrees || !self.answers_early(&request, &body.progress(), in_time) {
                    read_to_end(declared, &request, body).await?;
                }
                let checksum = recorded(&entry.record);
                (Some(entry.etag), checksum)
            }
            PartAdmission::Wanted(permit) => {
                // The session verifies the SHA-256 itself; it is not computed twice.
                let (payload, outcome) =
                    Payload::new(Declared { sha256: None, ..declared }, &request.payload, body);
                let checksum = outcome.clone();
                let body = Body::verified(len_bytes, payload);
                let stored = permit.store_part(body, move || checksum.verified().flatten()).await;
                let part = match stored {
                    Ok(part) => part,
                    Err(error) => {
                        let failure = outcome.refusal();
                        if failure.is_some() || error.kind() != upload::Kind::BodyBroken {
                            guard.0 = None;
                        }
                        return Err(failure.map_or_else(|| error.into(), S3Error::from));
                    }
                };
                self.shared.metrics.chunk_stored();
                let sha256 = part.sha256;
                let etag = part.etag.or_else(|| Some(ETag::of_sha256(&sha256)));
                let computed = part.checksum.filter(|_| named.is_some());
                let checksum = outcome.verified().flatten().or(computed);
                (etag, checksum.or_else(|| part.record.as_ref().and_then(recorded)))
            }
        };
        guard.0 = None;
        Ok(reply(etag, checksum))
    }

    /// Whether to respond before the body is read.
    fn answers_early(&self, request: &AuthedRequest, progress: &Progress, in_time: bool) -> bool {
        in_time && self.waits(request, progress) || self.reads_while_sending(request)
    }

    /// Whether a response now saves the client from sending the body: it waits for `100 Continue`,
    /// or it is known to read a response while it sends.
    fn waits(&self, request: &AuthedRequest, progress: &Progress) -> bool {
        let expects = waits_for_continue(&request.head.headers);
        expects && progress.bytes() == 0 || self.reads_while_sending(request)
    }

    fn reads_while_sending(&self, request: &AuthedRequest) -> bool {
        let agent = request.header("user-agent").unwrap_or_default();
        self.settings.early_close.iter().any(|name| agent.contains(name.as_str()))
    }
}

/// Tells the session when the request is dropped in the middle of a part.
struct DisconnectGuard(Option<Session>);

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        let Some(session) = self.0.take() else { return };
        tokio::spawn(async move {
            if let Err(error) = session.client_disconnected().await {
                tracing::debug!(backup = session.root().backup_id.as_str(), %error, "the disconnect of a client could not be recorded");
            }
        });
    }
}

/// Reads and verifies a body that is not stored, so that its connection can be reused.
async fn read_to_end(
    declared: Declared,
    request: &AuthedRequest,
    body: RequestBody,
) -> Result<(), S3Error> {
    let (mut payload, outcome) = Payload::new(declared, &request.payload, body);
    while let Some(frame) = payload.next().await {
        frame.map_err(|_| payload_error(&outcome))?;
    }
    Ok(())
}

/// **Errors**: `InvalidArgument`.
pub(super) fn part_number(request: &AuthedRequest) -> Result<PartNumber, S3Error> {
    let text = request.query.get("partNumber");
    let number = text.and_then(|text| text.parse().ok()).and_then(PartNumber::new);
    number.ok_or_else(|| {
        S3Error::invalid("Part number must be an integer between 1 and 10000, inclusive.")
            .with_argument("partNumber", text)
    })
}

fn reply(etag: Option<ETag>, checksum: Option<Checksum>) -> Reply {
    let mut reply = empty_reply(StatusCode::OK);
    let headers = reply.headers_mut();
    if let Some(tag) = etag.and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok()) {
        headers.insert("etag", tag);
    }
    if let Some(checksum) = checksum {
        let value = HeaderValue::from_str(&checksum.base64()).expect("Base64 is printable ASCII");
        headers.insert(checksum.algorithm().header(), value);
    }
    reply
}
