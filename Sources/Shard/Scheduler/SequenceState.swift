import Generation
import Primitives

/// One request, from `submit` to its end.
///
///     submit ──▶ waiting ──admit──▶ running ──▶ ended
///                   ▲                  │
///                   └─────preempt──────┘
///
/// A running sequence with more than one token to compute is in its prefill, else it decodes. That
/// is all the difference: both are "tokens that are not in the KV pool yet".
struct SequenceState: Sendable {
  enum Stage: Sendable {
    /// The slot is free.
    case none
    case waiting
    case running
    /// Aborted while its step is under way; goes when that is completed.
    case aborted
  }

  var stage = Stage.none
  var id: UInt64 = 0
  /// Order of arrival, from 1. Unique.
  var serial: UInt64 = 0
  /// Who comes first, smaller first: time of arrival, moved by the priority. It does not change, so
  /// whoever waits comes first in the end.
  var rank: Int64 = 0
  var sampling = SamplingParameters()
  var minTokens = 0
  var endTokens: [Int32] = []
  var deadline = Instant.never

  /// Prompt and output.
  var tokens: [Int32] = []
  var promptCount = 0
  /// With so many tokens it ends: `maxTokens` or the context, whatever is less.
  var tokenLimit = 0
  /// So many tokens are in the KV blocks.
  var computed = 0
  /// Its KV blocks from position 0 on; no more than `computed` and the step under way need.
  var blocks: [Int32] = []
  /// Full blocks that have names, or were found by them, and the name of the last.
  var namedBlocks = 0
  var chain = KVBlocks.root
  /// Prompt tokens that the prefix cache had.
  var cachedTokens = 0
  var wasPreempted = false
  /// When its last token came out.
  var tokenAt = Instant.never

  var outputCount: Int { tokens.count - promptCount }
  var remaining: Int { tokens.count - computed }

  /// Both orders a heap needs.
  static func comes(_ a: SequenceState, before b: SequenceState) -> Bool {
    a.rank != b.rank ? a.rank < b.rank : a.serial < b.serial
  }
}
