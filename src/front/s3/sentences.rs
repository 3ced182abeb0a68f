//! The sentences that S3 has for its error codes.
//!
//! People search for them, and some tools compare them; what the gateway itself has to say stands
//! beside them in the answer. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

/// What S3 says with this code. None: it has several sentences, or none.
pub(super) fn sentence(code: &str) -> Option<&'static str> {
    Some(match code {
        "AccessControlListNotSupported" => "The bucket does not allow ACLs.",
        "BucketAlreadyOwnedByYou" => {
            "Your previous request to create the named bucket succeeded and you already own it."
        }
        "BucketNotEmpty" => "The bucket you tried to delete is not empty.",
        "EntityTooLarge" => "Your proposed upload exceeds the maximum allowed object size.",
        "EntityTooSmall" => "Your proposed upload is smaller than the minimum allowed size",
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "InvalidBucketAclWithObjectOwnership" => {
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        }
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidDigest" => "The Content-Md5 you specified is not valid.",
        "InvalidLocationConstraint" => "The specified location-constraint is not valid",
        "InvalidPart" => {
            "One or more of the specified parts could not be found.  The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag."
        }
        "InvalidPartNumber" => "The requested partnumber is not satisfiable.",
        "InvalidPartOrder" => {
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        }
        "InvalidRange" => "The requested range is not satisfiable",
        "InvalidRedirectLocation" => {
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        }
        "KeyTooLongError" => "Your key is too long",
        "MalformedPOSTRequest" => {
            "The body of your POST request is not well-formed multipart/form-data."
        }
        "MalformedACLError" | "MalformedXML" => {
            "The XML you provided was not well-formed or did not validate against our published \
             schema."
        }
        "MalformedTrailerError" => {
            "The request contained trailing data that was not well-formed or did not conform to \
             our published schema."
        }
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "MetadataTooLarge" => "Your metadata headers exceed the maximum allowed metadata size",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "NoSuchBucket" => "The specified bucket does not exist.",
        "NoSuchKey" => "The specified key does not exist.",
        "NoSuchUpload" => {
            "The specified multipart upload does not exist. The upload ID may be invalid, or the \
             upload may have been aborted or completed."
        }
        "NoSuchVersion" => "The specified version does not exist.",
        "PreconditionFailed" => "At least one of the pre-conditions you specified did not hold.",
        "RequestTimeTooSkewed" => {
            "The difference between the request time and the server's time is too large."
        }
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method."
        }
        "XAmzContentSHA256Mismatch" => {
            "The provided 'x-amz-content-sha256' header does not match what was computed."
        }
        _ => return None,
    })
}
