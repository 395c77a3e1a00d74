/// Why a request or an answer is refused by its syntax or by a limit. One reason, one metric label,
/// one text; the same whichever version of HTTP carried it.
@usableFromInline
package enum Rejection: UInt8, CaseIterable, Sendable {
  // Lines and bytes.
  case bareLF
  case bareCR
  case controlByte
  // The request line.
  case requestLineMalformed
  case methodInvalid
  case methodTooLong
  case connectRefused
  case traceRefused
  case targetInvalid
  case targetFormInvalid
  case targetTooLong
  case ambiguousPath
  case versionMalformed
  case versionUnsupported
  // Fields.
  case spaceBeforeFields
  case lineFolding
  case fieldNameEmpty
  case fieldNameInvalid
  case spaceBeforeColon
  case missingColon
  case underscoreName
  case tooManyFields
  case headTooLarge
  // Single fields.
  case missingHost
  case duplicateHost
  case hostInvalid
  case contentLengthInvalid
  case contentLengthConflict
  case transferEncodingInvalid
  case transferEncodingUnknown
  case chunkedByHTTP10
  case lengthAndChunked
  case connectionInvalid
  case expectationUnknown
  // Bodies.
  case chunkSizeInvalid
  case chunkSizeTooLarge
  case chunkExtensionInvalid
  case chunkExtensionTooLong
  case chunkEndInvalid
  case trailerInvalid
  case trailersTooLarge
  case tooManyTrailers
  case bodyTooLarge
  case bodyTruncated
  case memberTwice
  // Slowness.
  case headTimeout
  case bodyTooSlow
  // Answers of backends.
  case statusLineMalformed
  case statusInvalid
  case bodyInInterim
  case tooManyInterims
  case unexpectedUpgrade

  /// What the client is answered. 502 where only a backend can be at fault; a backend's mistake in
  /// any of the others is 502 too, and the caller knows whose bytes they were.
  package var status: Int {
    switch self {
    case .connectRefused, .traceRefused: 405
    case .headTimeout, .bodyTooSlow: 408
    case .bodyTooLarge: 413
    case .targetTooLong: 414
    case .expectationUnknown: 417
    case .tooManyFields, .headTooLarge, .trailersTooLarge, .tooManyTrailers: 431
    case .methodTooLong, .transferEncodingUnknown: 501
    case .versionUnsupported: 505
    case .statusLineMalformed, .statusInvalid, .bodyInInterim, .tooManyInterims, .unexpectedUpgrade:
      502
    case .bareLF, .bareCR, .controlByte, .requestLineMalformed, .methodInvalid, .targetInvalid,
      .targetFormInvalid, .ambiguousPath, .versionMalformed, .spaceBeforeFields, .lineFolding,
      .fieldNameEmpty, .fieldNameInvalid, .spaceBeforeColon, .missingColon, .underscoreName,
      .missingHost, .duplicateHost, .hostInvalid, .contentLengthInvalid, .contentLengthConflict,
      .transferEncodingInvalid, .chunkedByHTTP10, .lengthAndChunked, .connectionInvalid,
      .chunkSizeInvalid, .chunkSizeTooLarge, .chunkExtensionInvalid, .chunkExtensionTooLong,
      .chunkEndInvalid, .trailerInvalid, .bodyTruncated, .memberTwice:
      400
    }
  }

  /// For metrics and logs.
  package var label: StaticString {
    switch self {
    case .bareLF: "bare_lf"
    case .bareCR: "bare_cr"
    case .controlByte: "control_byte"
    case .requestLineMalformed: "request_line_malformed"
    case .methodInvalid: "method_invalid"
    case .methodTooLong: "method_too_long"
    case .connectRefused: "connect_refused"
    case .traceRefused: "trace_refused"
    case .targetInvalid: "target_invalid"
    case .targetFormInvalid: "target_form_invalid"
    case .targetTooLong: "target_too_long"
    case .ambiguousPath: "ambiguous_path"
    case .versionMalformed: "version_malformed"
    case .versionUnsupported: "version_unsupported"
    case .spaceBeforeFields: "space_before_fields"
    case .lineFolding: "line_folding"
    case .fieldNameEmpty: "field_name_empty"
    case .fieldNameInvalid: "field_name_invalid"
    case .spaceBeforeColon: "space_before_colon"
    case .missingColon: "missing_colon"
    case .underscoreName: "underscore_name"
    case .tooManyFields: "too_many_fields"
    case .headTooLarge: "head_too_large"
    case .missingHost: "missing_host"
    case .duplicateHost: "duplicate_host"
    case .hostInvalid: "host_invalid"
    case .contentLengthInvalid: "content_length_invalid"
    case .contentLengthConflict: "content_length_conflict"
    case .transferEncodingInvalid: "transfer_encoding_invalid"
    case .transferEncodingUnknown: "transfer_encoding_unknown"
    case .chunkedByHTTP10: "chunked_by_http10"
    case .lengthAndChunked: "length_and_chunked"
    case .connectionInvalid: "connection_invalid"
    case .expectationUnknown: "expectation_unknown"
    case .chunkSizeInvalid: "chunk_size_invalid"
    case .chunkSizeTooLarge: "chunk_size_too_large"
    case .chunkExtensionInvalid: "chunk_extension_invalid"
    case .chunkExtensionTooLong: "chunk_extension_too_long"
    case .chunkEndInvalid: "chunk_end_invalid"
    case .trailerInvalid: "trailer_invalid"
    case .trailersTooLarge: "trailers_too_large"
    case .tooManyTrailers: "too_many_trailers"
    case .bodyTooLarge: "body_too_large"
    case .bodyTruncated: "body_truncated"
    case .memberTwice: "member_twice"
    case .headTimeout: "head_timeout"
    case .bodyTooSlow: "body_too_slow"
    case .statusLineMalformed: "status_line_malformed"
    case .statusInvalid: "status_invalid"
    case .bodyInInterim: "body_in_interim"
    case .tooManyInterims: "too_many_interims"
    case .unexpectedUpgrade: "unexpected_upgrade"
    }
  }

  /// What is wrong and what to change. Goes into JSON as it stands: no quotes, no backslashes.
  package var text: StaticString {
    switch self {
    case .bareLF: "A line ends with LF alone; end every line with CR LF."
    case .bareCR: "A CR is not followed by LF; end every line with CR LF."
    case .controlByte: "A control byte stands in the head; send printable bytes only."
    case .requestLineMalformed:
      "The request line is not METHOD SP TARGET SP VERSION; send it with single spaces."
    case .methodInvalid: "The method is not a token; send letters, as in GET."
    case .methodTooLong: "The method is longer than any known one; send a registered method."
    case .connectRefused: "CONNECT is for forward proxies; send the request to the origin itself."
    case .traceRefused: "TRACE would echo credentials; send another method."
    case .targetInvalid: "The request target holds a byte that must be percent-encoded."
    case .targetFormInvalid:
      "The request target is neither a path nor an http or https URL; begin it with a slash."
    case .targetTooLong: "The request target is over the listener's limit; move data to the body."
    case .ambiguousPath:
      "Servers disagree on what this path means; remove dot segments, empty segments, backslashes and needless percent-encoding."
    case .versionMalformed: "The version is malformed; send HTTP/1.1."
    case .versionUnsupported: "The version is not supported on this connection; send HTTP/1.1."
    case .spaceBeforeFields: "White space stands before the first field; remove it."
    case .lineFolding: "A field is continued on a second line; send it on one line."
    case .fieldNameEmpty: "A field has no name; give it one or remove the line."
    case .fieldNameInvalid: "A field name holds a byte that is not allowed there; send a token."
    case .spaceBeforeColon: "White space stands between a field name and its colon; remove it."
    case .missingColon: "A field line has no colon; send it as NAME: VALUE."
    case .underscoreName:
      "A field name differs from a field that matters only by underscores; write hyphens."
    case .tooManyFields: "There are more fields than the limit allows; send fewer."
    case .headTooLarge: "The head is over the limit in bytes; send shorter fields."
    case .missingHost: "HTTP/1.1 needs a Host field; send exactly one."
    case .duplicateHost: "There is more than one Host field; send exactly one."
    case .hostInvalid: "The host is not a name or address with an optional port; correct it."
    case .contentLengthInvalid:
      "Content-Length is not a plain decimal number; send digits without sign or leading zero."
    case .contentLengthConflict: "There is more than one Content-Length; send exactly one."
    case .transferEncodingInvalid:
      "Transfer-Encoding is empty or stands there twice; send it once, as chunked."
    case .transferEncodingUnknown: "The transfer coding is not known; send chunked alone."
    case .chunkedByHTTP10: "HTTP/1.0 has no chunked coding; send a Content-Length or HTTP/1.1."
    case .lengthAndChunked:
      "Content-Length and Transfer-Encoding exclude each other; send one of them."
    case .connectionInvalid: "The Connection field is not a short list of tokens; correct it."
    case .expectationUnknown: "The expectation is not known; send 100-continue or none."
    case .chunkSizeInvalid: "A chunk size is not a plain hexadecimal number; correct it."
    case .chunkSizeTooLarge: "A chunk size has more than 15 digits; send smaller chunks."
    case .chunkExtensionInvalid: "A chunk extension is malformed; remove it."
    case .chunkExtensionTooLong: "A chunk extension is over the limit in bytes; remove it."
    case .chunkEndInvalid: "A chunk is not followed by CR LF; send as many bytes as its size says."
    case .trailerInvalid: "A trailer is malformed; send it as NAME: VALUE and end it with CR LF."
    case .trailersTooLarge: "The trailers are over the limit in bytes; send shorter ones."
    case .tooManyTrailers: "There are more trailers than the limit allows; send fewer."
    case .bodyTooLarge: "The body is over the limit in bytes; send a smaller one."
    case .bodyTruncated: "The connection ended before the body did; send all of it."
    case .memberTwice:
      "The JSON body is malformed behind its model, or names it twice; send it once, in one object."
    case .headTimeout: "The head did not arrive in time; send it at once."
    case .bodyTooSlow: "The body arrives below the minimum rate; send it faster."
    case .statusLineMalformed: "The backend's status line is malformed; it must speak HTTP/1.1."
    case .statusInvalid: "The backend's status is not within 100 to 599; correct the backend."
    case .bodyInInterim: "The backend announced a body for an answer that has none."
    case .tooManyInterims: "The backend sent more interim answers than the limit allows."
    case .unexpectedUpgrade: "The backend switched protocols without being asked to."
    }
  }
}
