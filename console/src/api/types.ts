// Generated from src/api/openapi/openapi.json by scripts/api-types.mjs.

export type Action = "migrate" | "validate" | "rollback" | "cleanup" | "backup" | "restore" | "complete";

export type Asset = { "content_type": string; "created_at": string; "dominant_color"?: string; "download_url": string; "file_path": string; "file_size": number | null; "filename": string | null; "height": number | null; "id": ImageId; "outputs": (ShootFile)[]; "shoot_id": ShootId; "thumbhash"?: string; "width": number | null };

export type AssetPage = { "assets": (Asset)[]; "next_cursor"?: string };

export type Background = "transparent" | "opaque" | "auto";

export type BackupResult = { "bytes": number; "dryRun": boolean; "errors": (Finding)[]; "failed": number; "keyPrefix"?: string; "recordCount"?: number; "restored"?: number; "saved"?: number; "skipped": number; "success": boolean; "total": number; "warnings": (string)[] };

export type Batch = { "cancelled": number; "completed": number; "failed": number; "id": BatchId; "processing": number; "queued": number; "total": number };

export type BatchId = string;

export type BatchMade = { "id": BatchId; "shoot_id": ShootId; "skipped": number; "total": number };

export type BatchRequest = { "prompt": string; "size"?: Size | null; "tier"?: Tier | null };

export type Caller = { "caller": "operator" | "user"; "thumbnailWidth": number; "userId"?: string };

export type CleanupResult = { "cleaned": number; "dryRun": boolean; "errors": (Finding)[]; "failed": number; "freedBytes": number; "kept": number; "skipped": number; "success": boolean; "total": number };

export type Clearing = { "deleted": number; "remaining": number };

export type Code = "invalid-field" | "invalid-json" | "invalid-form" | "body-interrupted" | "unauthorized" | "origin-not-local" | "forbidden" | "signature-invalid" | "signature-expired" | "upload-signature-invalid" | "route-not-found" | "image-not-found" | "method-not-allowed" | "run-not-found" | "shoot-not-found" | "upload-not-found" | "session-not-found" | "frame-not-found" | "analysis-not-found" | "job-not-found" | "batch-not-found" | "receipt-not-ready" | "run-in-progress" | "not-a-backup" | "public-origin-missing" | "run-ended" | "source-unusable" | "image-in-use" | "upload-not-received" | "upload-used" | "frame-taken" | "variant-limit" | "session-busy" | "session-empty" | "shoot-empty" | "shoot-too-large" | "job-ended" | "idempotency-in-progress" | "image-deleted" | "upload-expired" | "length-required" | "precondition-failed" | "body-too-large" | "unsupported-media-type" | "not-an-image" | "range-not-satisfiable" | "checksum-mismatch" | "upload-size-differs" | "upload-type-differs" | "truncated" | "parts-refused" | "malformed" | "variant-unsupported" | "variant-impossible" | "variant-too-large" | "refused-address" | "source-gone" | "source-forbidden" | "source-too-large" | "idempotency-key-reused" | "prompt-refused" | "image-limit-reached" | "generation-limit-reached" | "provider-rate-limited" | "internal-error" | "bytes-missing" | "provider-unavailable" | "provider-rejected" | "provider-answer-empty" | "provider-image-invalid" | "source-failed" | "token-keys-unavailable" | "token-not-configured" | "bucket-not-bound" | "multipart-unavailable" | "vision-not-configured" | "editor-not-configured" | "busy" | "configuration-invalid" | "storage-unavailable" | "source-unavailable" | "database-unavailable" | "database-not-migrated" | "source-timeout" | "provider-timeout" | "byte-limit-reached";

export type ColourShare = { "color": string; "percent": number };

export type CompleteRequest = { "sha256"?: Sha256Digest | null };

export type CompleteResult = { "errors": (Finding)[]; "isComplete": boolean; "lastReadThrough": string | null; "left": number; "listedFrom": string | null; "listedUntil": string | null; "open": (string)[]; "references": number; "verified": number; "verifiedFrom": string | null; "verifiedUntil": string | null; "warnings": (string)[]; "wrong": number };

export type ConfigProblem = { "given"?: string; "rule": string; "variable": string };

export type ConfirmRequest = { "asset_id": ImageId; "content_type"?: "image/jpeg" | "image/png" | "image/gif" | "image/webp" | "image/svg+xml" | "image/avif" | "image/heic" | null; "file_size"?: number | null; "filename"?: string | null; "object_key": ObjectKey; "sha256"?: Sha256Digest | null; "shoot_id": ShootId };

export type Context = string;

export type ControlAnswer = { "action": "status" | "pause" | "resume" | "cancel"; "dryRun": boolean; "result": Run; "runId": RunId; "state": State; "success": boolean };

export type Day = { "classA": number | null; "classB": number; "d1Bytes": number | null; "d1Images": number | null; "databaseBytes": number | null; "date": string; "r2Bytes": number | null; "r2Images": number | null };

export type DefaultImage = { "content_type": string | null; "filename": string | null; "isDefault": boolean; "key": string | null; "reason": DefaultImageReason; "size": number | null; "url": string };

export type DefaultImageReason = { "code": Code; "detail": string };

export type Dollars = { "projected": number; "soFar": number };

export type FailedProvider = { "provider": string; "reason": string };

export type Finding = { "detail"?: string; "id": string; "reason"?: string };

export type Forecast = { "expired": number; "requests": number; "seconds": number; "willExpire": number };

export type Frame = { "content_type": string; "context": Context | null; "createdAt": string; "dominantColor"?: string; "fallbackReason"?: string; "filename": string | null; "frameNumber": number; "generation"?: GenerationRecord; "height": number | null; "id": ImageId; "key": string; "metadata": Labels; "orientation": number | null; "ownerId"?: string; "parentId"?: ImageId; "participantId": string | null; "personaId": string | null; "sessionId": string | null; "sha256": Sha256Digest | null; "size": number | null; "source"?: string; "sourceItem"?: string; "status": Status; "storage": StorageKind; "tableId": string | null; "thumbhash"?: string; "updatedAt": string; "url": string; "urlExpiresAt"?: string; "visibility": Visibility; "width": number | null };

export type FrameAnswer = { "code"?: Code; "detail"?: string; "frameNumber"?: number; "image"?: Image; "outcome": "stored" | "unchanged" | "replaced" | "refused" };

export type FramePage = { "frames": (Frame)[]; "interrupted": boolean; "nextCursor"?: string; "sessionId": SessionId };

export type FramesAnswer = { "frames": (FrameAnswer)[]; "refused": number; "replaced": number; "sessionId": SessionId; "stored": number; "unchanged": number };

export type Freeable = { "bytes": number; "images": number };

export type GenerateRequest = { "background"?: Background | null; "n"?: number | null; "outputCompression"?: number | null; "outputFormat"?: OutputFormat | null; "participantId"?: string | null; "personaId": string; "prompt": string; "quality"?: Quality | null; "sessionId"?: string | null; "size"?: Size | null; "style"?: Style | null; "tableId"?: string | null; "visibility"?: Visibility | null };

export type GeneratedImage = { "fallback": boolean; "fallbackReason"?: string; "generation": Generation; "image": Image; "imageUrl": string; "images": (OneOfGeneratedImages)[]; "originalUrl": string; "storage": Storage; "success": boolean };

export type Generation = { "fallback": boolean; "fallbackReason"?: string; "metadata": GenerationMetadata; "prompt": string; "provider": string; "quality": string | null; "size": string };

export type GenerationMetadata = { "background": string | null; "failedProviders": (FailedProvider)[]; "generatedAt": string; "height": number | null; "model": string | null; "outputCompression": number | null; "outputFormat": string | null; "revisedPrompt": string | null; "style": string | null; "totalTokens": number | null; "width": number | null };

export type GenerationRecord = { "background"?: string; "failed_providers"?: (FailedProvider)[]; "model"?: string; "original_url"?: string; "output_compression"?: number; "output_format"?: string; "prompt": string; "prompt_cut"?: boolean; "provider": string; "quality"?: string; "revised_prompt"?: string; "size": string; "style"?: string; "total_tokens"?: number };

export type Health = { "configuration": (ConfigProblem)[]; "services": Services; "status": "healthy" | "degraded" | "unhealthy"; "version": string };

export type Holding = { "bytes": number; "images": number; "name": string };

export type HomeBody = { "bytes": number; "images": number };

export type Homes = { "d1": HomeBody; "r2": HomeBody };

export type Image = { "content_type": string; "context": Context | null; "createdAt": string; "dominantColor"?: string; "fallbackReason"?: string; "filename": string | null; "generation"?: GenerationRecord; "height": number | null; "id": ImageId; "key": string; "metadata": Labels; "orientation": number | null; "ownerId"?: string; "parentId"?: ImageId; "participantId": string | null; "personaId": string | null; "sessionId": string | null; "sha256": Sha256Digest | null; "size": number | null; "source"?: string; "sourceItem"?: string; "status": Status; "storage": StorageKind; "tableId": string | null; "thumbhash"?: string; "updatedAt": string; "url": string; "urlExpiresAt"?: string; "visibility": Visibility; "width": number | null };

export type ImageDescription = { "analyzedAt": string; "jobId": JobId; "model"?: string; "pictures": (PictureAnalysis)[]; "provider": string; "summaries": (string)[]; "version": number };

export type ImageId = string;

export type ImagePage = { "images": (Image)[]; "nextCursor"?: string };

export type Index = { "description": string; "links": Links; "name": string; "version": string };

export type ItemId = number | string;

export type ItemPage = { "items": (Line)[]; "nextCursor"?: string };

export type Job = { "asset_id": ImageId | null; "attempts": number; "batch_id"?: BatchId; "created_at": string; "error": string | null; "error_code"?: string; "events": (JobEvent)[]; "id": JobId; "kind": JobKind; "mask_id"?: ImageId; "output_id": ImageId | null; "output_path": string | null; "output_url": string | null; "prompt"?: string; "session_id"?: SessionId; "size"?: string; "status": JobState; "tier"?: Tier; "updated_at": string };

export type JobEvent = { "duration_ms"?: number; "error"?: string; "provider"?: string; "state": JobState; "storage_type"?: StorageKind; "time": string };

export type JobId = string;

export type JobKind = "edit" | "describe" | "analyze";

export type JobPage = { "jobs": (Job)[]; "next_cursor"?: string };

export type JobRequest = { "asset_id": ImageId; "mask_id"?: ImageId | null; "prompt": string; "size"?: Size | null; "tier"?: Tier | null };

export type JobState = "completed" | "failed" | "cancelled" | "queued" | "processing";

export type Labels = Record<string, string>;

export type Line = { "detail"?: string; "from"?: string; "id": ItemId; "reason"?: string; "sha256"?: Sha256Digest; "size"?: number; "to"?: string; "type"?: string; "verdict": Verdict };

export type Links = { "console": string; "docs": string; "health": string; "openapi": string };

export type LookRequest = { "prompt"?: string | null };

export type MigrateRequest = { "action": "migrate" | "validate" | "rollback" | "stats" | "backup" | "restore" | "pause" | "resume" | "cancel" | "status" | "cleanup" | "complete"; "background"?: boolean | null; "batchSize"?: number | null; "checkIntegrity"?: boolean | null; "concurrency"?: number | null; "confirmRunId"?: RunId | null; "deleteFromR2"?: boolean | null; "dryRun"?: boolean | null; "fallbackOnly"?: boolean | null; "force"?: boolean | null; "imageIds"?: (string)[] | null; "quietHours"?: number | null; "runId"?: RunId | null; "sampleSize"?: number | null; "source"?: string | null };

export type MigrateResult = { "bytes": number; "dryRun": boolean; "duration": number; "errors": (Finding)[]; "estimatedCostUsd": number; "failed": number; "links"?: Forecast; "migrated": number; "operations": Operations; "references": number; "skipped": number; "success": boolean; "total": number; "warnings": (string)[] };

export type MigrationStats = { "base64Images": number; "estimatedSpaceSaved": number; "failedImages": number; "fallbackImages": number; "migratedImages": number; "migrationProgress": number | null; "missingSources": (string)[]; "partiallyMigratedImages": number; "sources": (SourceStats)[]; "totalImages": number };

export type MigrationStatus = { "apiVersion": string; "availableActions": ("migrate" | "validate" | "rollback" | "stats" | "backup" | "restore" | "pause" | "resume" | "cancel" | "status" | "cleanup" | "complete")[]; "batchSize": number; "concurrency": number; "enableR2Storage": boolean; "migrationReady": boolean; "migrationStats": MigrationStats; "publicUrl": string | null; "r2Configured": boolean; "r2ObjectsCount": number; "r2Status": "connected" | "disabled" | "error"; "readySources": (string)[]; "run": Run | null; "sources": (string)[]; "success": boolean };

export type MissingObject = { "bytes": number; "id": ImageId; "key": ObjectKey };

export type MultipartRequest = { "content_type": "image/jpeg" | "image/png" | "image/gif" | "image/webp" | "image/svg+xml" | "image/avif" | "image/heic"; "file_size": number; "filename": string; "sha256"?: Sha256Digest | null; "shoot_id": ShootId };

export type MultipartUpload = { "asset_id": ImageId; "expires_at": string; "max_part_size": number; "max_parts": number; "min_part_size": number; "object_key": ObjectKey; "upload_id": string };

export type ObjectKey = string;

export type OneOfGeneratedImages = { "image": Image; "imageUrl": string; "originalUrl": string; "storage": Storage };

export type Operations = { "d1RowsRead": number; "d1RowsWritten": number; "r2ClassA": number; "r2ClassB": number };

export type Operations2 = { "classA": number; "classB": number };

export type OrphanOutcome = "found" | "adopted" | "removed" | "kept";

export type OrphanedObject = { "bytes": number; "imageId": ImageId | null; "key": ObjectKey; "outcome": OrphanOutcome; "reason": string | null; "storedAt": string };

export type OutputFormat = "png" | "jpeg" | "webp";

export type Part = { "etag": string; "part_number": number; "size": number };

export type Parts = { "asset_id": ImageId; "expires_at": string; "object_key": ObjectKey; "parts": (Part)[] };

export type PictureAnalysis = { "dominantColors"?: (ColourShare)[]; "error"?: string; "frameNumber"?: number; "height"?: number; "imageId": ImageId; "nearDuplicateOf"?: number; "perceptualHash"?: string; "sharpness"?: number; "tags"?: (string)[]; "text"?: string; "thumbhash"?: string; "width"?: number };

export type PresignRequest = { "content_type": "image/jpeg" | "image/png" | "image/gif" | "image/webp" | "image/svg+xml" | "image/avif" | "image/heic"; "file_size"?: number | null; "filename": string; "sha256"?: Sha256Digest | null; "shoot_id": ShootId };

export type PresignedUpload = { "asset_id": ImageId; "expires_at": string; "fields": Record<string, string>; "object_key": ObjectKey; "upload": PutBody; "url": string };

export type Problem = { "code": Code; "detail": string; "field"?: string; "images"?: (OneOfGeneratedImages)[]; "remedy": string; "request_id": string; "runId"?: string; "status": number; "title": string; "type": string };

export type Progress = { "bytes": number; "done": number; "failed": number; "skipped": number; "succeeded": number; "total": number | null };

export type PutBody = { "headers": Record<string, string>; "method": string; "url": string };

export type Quality = "standard" | "hd" | "low" | "medium" | "high" | "auto";

export type ReceiptInfo = { "bytes": number; "key": ObjectKey; "lines": number; "sha256": Sha256Digest };

export type ReconcileAction = "report" | "adopt" | "remove";

export type ReconcileRequest = { "action"?: ReconcileAction | null; "cursor"?: ObjectKey | null; "graceHours"?: number | null };

export type ReconcileSlice = { "action": ReconcileAction; "cursor": ObjectKey | null; "foreignBytes": number; "foreignObjects": number; "missing": (MissingObject)[]; "objects": number; "orphans": (OrphanedObject)[]; "rows": number };

export type Requested = "pause" | "cancel";

export type Result = MigrateResult | ValidateResult | RollbackResult | CleanupResult | BackupResult | CompleteResult;

export type RollbackResult = { "dryRun": boolean; "errors": (Finding)[]; "failed": number; "references": number; "rolledBack": number; "skipped": number; "success": boolean; "total": number };

export type Run = { "action": Action; "createdAt": string; "dryRun": boolean; "finishedAt": string | null; "id": RunId; "progress": Progress; "receipt": ReceiptInfo | null; "requested"?: Requested; "result": Result; "source": string; "state": State; "updatedAt": string };

export type RunAnswer = { "action": Action; "background": boolean; "done": boolean; "dryRun": boolean; "next"?: string; "result": Result; "runId": RunId; "source": string; "state": State; "success": boolean };

export type RunId = string;

export type Services = { "database": "healthy" | "unhealthy"; "r2_storage": "enabled" | "disabled" | "error" };

export type Session = { "createdAt": string; "sessionId": SessionId };

export type SessionAnalysis = { "analyzedAt": string; "jobId": JobId; "model"?: string; "pictures": (PictureAnalysis)[]; "provider": string; "sessionId": SessionId; "summaries": (string)[]; "version": number };

export type SessionId = string;

export type SessionRequest = { "sessionId"?: SessionId | null };

export type Sha256Digest = string;

export type Share = { "included": number; "percent": number; "resource": "r2-storage" | "r2-class-a" | "r2-class-b"; "used": number };

export type Shoot = { "created_at": string; "id": ShootId; "name": string };

export type ShootFile = { "content_type": string; "created_at": string; "dominant_color"?: string; "download_url": string; "file_path": string; "file_size": number | null; "height": number | null; "id": ImageId; "thumbhash"?: string; "width": number | null };

export type ShootId = string;

export type ShootPage = { "next_cursor"?: string; "shoots": (Shoot)[] };

export type ShootRequest = { "name": string };

export type SignRequest = { "expiresInSeconds"?: number | null; "variant"?: string | null };

export type SignRequest2 = { "key": ObjectKey; "method": "GET" | "POST" | "PUT" | "DELETE"; "partNumber"?: number | null; "uploadId"?: string | null };

export type SignedRequest = { "headers": Record<string, string>; "url": string };

export type SignedUrl = { "expiresAt": string; "url": string };

export type Size = "256x256" | "512x512" | "1024x1024" | "1792x1024" | "1024x1792" | "1536x1024" | "1024x1536" | "auto" | string;

export type SourceProblem = { "code": string; "detail": string };

export type SourceStats = { "base64Images": number | null; "cleaned": number | null; "countedAt": string | null; "estimatedSpaceSaved": number | null; "failed": number | null; "failedImages": number | null; "migratedImages": number | null; "migrationProgress": number | null; "moved": number | null; "name": string; "partiallyMigratedImages": number | null; "problem"?: SourceProblem; "state": "current" | "kept" | "counting" | "unavailable"; "totalImages": number | null };

export type State = "running" | "paused" | "cancelled" | "completed" | "completed_with_errors" | "failed";

export type StatsAnswer = { "action": "stats"; "dryRun": boolean; "result": MigrationStats; "success": boolean };

export type Status = "pending" | "stored" | "deleting" | "deleted";

export type Storage = { "details": StorageDetails; "fallbackReason"?: string; "r2Key": string | null; "type": StorageKind };

export type StorageDetails = { "contentType": string; "key": string; "sha256": Sha256Digest | null; "size": number | null };

export type StorageKind = "r2" | "d1";

export type Style = "vivid" | "natural";

export type Tier = "standard" | "premium";

export type Usage = { "alerts": (Share)[]; "cleanup": Freeable | null; "contexts": (Holding)[]; "databaseBytes": number | null; "days": (Day)[]; "dollars": Dollars; "freeTier": (Share)[]; "kinds": (Holding)[]; "month": string; "operations": Operations2; "owners": (Holding)[]; "storage": Homes };

export type ValidateResult = { "corrupted": (Finding)[]; "errors": (Finding)[]; "invalid": number; "isValid": boolean; "missing": (Finding)[]; "orphaned": (Finding)[]; "totalChecked": number; "valid": number; "warnings": (string)[] };

export type Verdict = "moved" | "would-move" | "restored" | "would-restore" | "cleaned" | "would-clean" | "kept" | "rewritten" | "would-rewrite" | "saved" | "valid" | "missing" | "corrupted" | "left" | "orphaned" | "skipped" | "failed";

export type Visibility = "public" | "private";
