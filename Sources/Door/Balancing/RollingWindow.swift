import Primitives

/// Successes and failures of the last while, in ten buckets of exact counts, as linkerd keeps them.
struct RollingWindow {
  private static var bucketCount: Int { 10 }

  private var successBuckets = InlineArray<10, UInt32>(repeating: 0)
  private var failureBuckets = InlineArray<10, UInt32>(repeating: 0)
  private var current = 0
  private var bucketStart: Instant
  private var bucketLength: TimeAmount
  private(set) var successes = 0
  private(set) var failures = 0

  init(length: TimeAmount, at now: Instant) {
    bucketStart = now
    bucketLength = .nanoseconds(max(1, length.nanoseconds / Int64(Self.bucketCount)))
  }

  var volume: Int { successes + failures }
  /// Failures among all, 0...1; 0 when nothing was counted.
  var failureShare: Double { volume == 0 ? 0 : Double(failures) / Double(volume) }

  mutating func count(isFailure: Bool, at now: Instant) {
    advance(to: now)
    if isFailure {
      failureBuckets[current] &+= 1
      failures += 1
    } else {
      successBuckets[current] &+= 1
      successes += 1
    }
  }

  /// Forgets what has become too old. Counts are true as of the last call.
  mutating func advance(to now: Instant) {
    guard now - bucketStart >= bucketLength else { return }
    let passed = (now - bucketStart).nanoseconds / bucketLength.nanoseconds
    bucketStart = bucketStart + bucketLength * passed
    for _ in 0..<min(Int(passed), Self.bucketCount) {
      current = (current + 1) % Self.bucketCount
      successes -= Int(successBuckets[current])
      failures -= Int(failureBuckets[current])
      successBuckets[current] = 0
      failureBuckets[current] = 0
    }
  }
}
