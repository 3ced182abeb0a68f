//! Sets of operations, as the rows of the vocabulary name them.

use http::Method;

use super::super::route::S3Operation as Op;

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u32);

impl Operations {
    pub const ALL: Self = Self(u32::MAX);
    pub const LIST_BUCKETS: Self = Self(1);
    pub const CREATE_BUCKET: Self = Self(1 << 1);
    pub const HEAD_BUCKET: Self = Self(1 << 2);
    pub const DELETE_BUCKET: Self = Self(1 << 3);
    pub const GET_BUCKET_LOCATION: Self = Self(1 << 4);
    pub const GET_BUCKET_VERSIONING: Self = Self(1 << 5);
    pub const LIST_OBJECTS: Self = Self(1 << 6);
    pub const LIST_OBJECTS_V2: Self = Self(1 << 7);
    pub const DELETE_OBJECTS: Self = Self(1 << 8);
    pub const LIST_UPLOADS: Self = Self(1 << 9);
    pub const POST_OBJECT: Self = Self(1 << 10);
    pub const GET_OBJECT: Self = Self(1 << 11);
    pub const HEAD_OBJECT: Self = Self(1 << 12);
    pub const PUT_OBJECT: Self = Self(1 << 13);
    pub const COPY_OBJECT: Self = Self(1 << 14);
    pub const DELETE_OBJECT: Self = Self(1 << 15);
    pub const GET_OBJECT_ATTRIBUTES: Self = Self(1 << 16);
    pub const CREATE_UPLOAD: Self = Self(1 << 17);
    pub const UPLOAD_PART: Self = Self(1 << 18);
    pub const UPLOAD_PART_COPY: Self = Self(1 << 19);
    pub const COMPLETE_UPLOAD: Self = Self(1 << 20);
    pub const ABORT_UPLOAD: Self = Self(1 << 21);
    pub const LIST_PARTS: Self = Self(1 << 22);
    /// Operations that only an S3 server behind the gateway has; they have their own lists of
    /// names.
    pub const PASSED_READS: Self = Self(1 << 23);
    pub const PASSED_WRITES: Self = Self(1 << 24);

    pub const LIST_VERSIONS: Self = Self(1 << 25);
    pub const GET_BUCKET_CORS: Self = Self(1 << 26);
    pub const PUT_BUCKET_CORS: Self = Self(1 << 27);
    pub const DELETE_BUCKET_CORS: Self = Self(1 << 28);

    pub const PASSED: Self = Self::PASSED_READS.and(Self::PASSED_WRITES);
    pub const READ_OBJECT: Self = Self::GET_OBJECT.and(Self::HEAD_OBJECT);
    pub const LISTINGS: Self =
        Self::LIST_OBJECTS.and(Self::LIST_OBJECTS_V2).and(Self::LIST_VERSIONS);
    pub const COPIES: Self = Self::COPY_OBJECT.and(Self::UPLOAD_PART_COPY);
    /// What names an upload.
    pub const OF_UPLOAD: Self = Self::UPLOAD_PART
        .and(Self::UPLOAD_PART_COPY)
        .and(Self::COMPLETE_UPLOAD)
        .and(Self::ABORT_UPLOAD)
        .and(Self::LIST_PARTS);
    /// What creates an object or an upload, with its metadata.
    pub const WITH_METADATA: Self =
        Self::PUT_OBJECT.and(Self::COPY_OBJECT).and(Self::CREATE_UPLOAD).and(Self::POST_OBJECT);
    /// What has the bytes of an object or a part as its body.
    pub const WITH_BYTES: Self = Self::PUT_OBJECT.and(Self::UPLOAD_PART).and(Self::POST_OBJECT);
    /// What has a document as its body.
    pub const WITH_DOCUMENT: Self = Self::CREATE_BUCKET
        .and(Self::DELETE_OBJECTS)
        .and(Self::COMPLETE_UPLOAD)
        .and(Self::PUT_BUCKET_CORS)
        .and(Self::PASSED);
    pub const READS: Self = Self::READ_OBJECT
        .and(Self::LISTINGS)
        .and(Self::LIST_BUCKETS)
        .and(Self::HEAD_BUCKET)
        .and(Self::GET_BUCKET_LOCATION)
        .and(Self::GET_BUCKET_VERSIONING)
        .and(Self::GET_BUCKET_CORS)
        .and(Self::LIST_UPLOADS)
        .and(Self::LIST_PARTS)
        .and(Self::GET_OBJECT_ATTRIBUTES)
        .and(Self::PASSED_READS);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, operation: Op) -> bool {
        self.0 & Self::of(operation).0 != 0
    }

    fn of(operation: Op) -> Self {
        match operation {
            Op::ListBuckets => Self::LIST_BUCKETS,
            Op::CreateBucket => Self::CREATE_BUCKET,
            Op::HeadBucket => Self::HEAD_BUCKET,
            Op::DeleteBucket => Self::DELETE_BUCKET,
            Op::GetBucketLocation => Self::GET_BUCKET_LOCATION,
            Op::GetBucketVersioning => Self::GET_BUCKET_VERSIONING,
            Op::ListObjects => Self::LIST_OBJECTS,
            Op::ListObjectsV2 => Self::LIST_OBJECTS_V2,
            Op::GetBucketCors => Self::GET_BUCKET_CORS,
            Op::PutBucketCors => Self::PUT_BUCKET_CORS,
            Op::DeleteBucketCors => Self::DELETE_BUCKET_CORS,
            Op::ListObjectVersions => Self::LIST_VERSIONS,
            Op::DeleteObjects => Self::DELETE_OBJECTS,
            Op::ListMultipartUploads => Self::LIST_UPLOADS,
            Op::PostObject => Self::POST_OBJECT,
            Op::GetObject => Self::GET_OBJECT,
            Op::HeadObject => Self::HEAD_OBJECT,
            Op::PutObject => Self::PUT_OBJECT,
            Op::CopyObject => Self::COPY_OBJECT,
            Op::DeleteObject => Self::DELETE_OBJECT,
            Op::GetObjectAttributes => Self::GET_OBJECT_ATTRIBUTES,
            Op::CreateMultipartUpload => Self::CREATE_UPLOAD,
            Op::UploadPart => Self::UPLOAD_PART,
            Op::UploadPartCopy => Self::UPLOAD_PART_COPY,
            Op::CompleteMultipartUpload => Self::COMPLETE_UPLOAD,
            Op::AbortMultipartUpload => Self::ABORT_UPLOAD,
            Op::ListParts => Self::LIST_PARTS,
            Op::PassThrough(passed) if passed.method == Method::GET => Self::PASSED_READS,
            Op::PassThrough(_) => Self::PASSED_WRITES,
        }
    }
}
