import Primitives

/// How long steps take, learnt from those that were run, and how many prompt tokens therefore fit
/// into one beside the streams that decode.
///
/// A step of only decodes says what decoding costs at that batch size; a step with prompt tokens as
/// well says what each of these adds. What they add in a mixed step is less than what they cost
/// alone (the weights are read once for all), so that is learnt apart.
package struct StepPace: Sendable {
  /// Weight of one step in the averages: a change is known within some ten steps.
  private static var weight: Double { 0.2 }
  /// One step may say at most that an average is so many times wrong: a hiccup of the machine is
  /// not believed.
  private static var surprise: Double { 4 }

  /// Seconds of a step of only decodes, two entries per power of two of the batch size. 0: not seen.
  private var decode = InlineArray<130, Double>(repeating: 0)
  /// Seconds per prompt token, beside decodes and alone. 0: not seen.
  private var mixed = 0.0
  private var alone = 0.0

  package init() {}

  /// Seconds of a step of only so many decodes; that of the nearest size where it has not been
  /// seen, nil if none has.
  package func decodeSeconds(_ decodes: Int) -> Double? {
    let entry = Self.entry(decodes)
    for distance in 0..<decode.count {
      if entry >= distance, decode[entry - distance] > 0 { return decode[entry - distance] }
      let above = entry + distance
      if above < decode.count, decode[above] > 0 { return decode[above] }
    }
    return nil
  }

  /// Seconds that one prompt token adds to a step of decodes; nil if no prompt was computed yet.
  package var prefillSeconds: Double? {
    mixed > 0 ? mixed : alone > 0 ? alone : nil
  }

  package mutating func record(decodes: Int, prefillTokens: Int, took: TimeAmount) {
    let seconds = max(took.seconds, 1e-9)
    if prefillTokens == 0 {
      guard decodes > 0 else { return }
      Self.learn(&decode[Self.entry(decodes)], seconds)
    } else if decodes == 0 {
      Self.learn(&alone, seconds / Double(prefillTokens))
    } else if let base = decodeSeconds(decodes) {
      // The rest may be nothing or less where the estimate of decoding is too high.
      let rest = max(seconds - base, seconds * 0.05)
      if mixed == 0 { mixed = alone }
      Self.learn(&mixed, rest / Double(prefillTokens))
    } else {
      // Prompts may follow so closely that a step of only decodes is never seen.
      let rest = seconds - alone * Double(prefillTokens)
      Self.learn(&decode[Self.entry(decodes)], max(rest, seconds * 0.2))
    }
  }

  /// Prompt tokens that the next step may compute beside so many decodes:
  /// (gap - t_decode) * prompt tokens per second, between the minimum and the whole step. The gap
  /// is the wished one, or the usual gap stretched as far as allowed if that is less.
  package func prefillBudget(decodes: Int, _ settings: SchedulerSettings) -> Int {
    guard decodes > 0 else { return settings.maxBatchTokens }
    let most = settings.maxBatchTokens - decodes
    let least = min(settings.minimumPrefillTokens, most)
    guard let base = decodeSeconds(decodes), let cost = prefillSeconds else { return least }
    let gap = min(settings.gapTarget.seconds, base * settings.gapStretch)
    let fits = ((gap - base) / cost).rounded(.down)
    // Compared as Double: the quotient may be larger than any Int.
    guard fits > Double(least) else { return least }
    return fits < Double(most) ? Int(fits) : most
  }

  private static func learn(_ average: inout Double, _ sample: Double) {
    guard average > 0 else {
      average = sample
      return
    }
    let believed = min(max(sample, average / surprise), average * surprise)
    average += weight * (believed - average)
  }

  private static func entry(_ decodes: Int) -> Int {
    let width = Int.bitWidth - max(decodes, 1).leadingZeroBitCount
    let half = width >= 2 ? (decodes >> (width - 2)) & 1 : 0
    return 2 * width + half
  }
}
