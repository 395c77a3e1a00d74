/// Something that lives on one loop, wrapped so that other threads may carry it but not touch it.
///
/// Sendable because the only way in checks that it stands on the loop, and the way home is a
/// message. What it holds may be released on any thread, so its `deinit` must not need the loop.
package struct LoopBound<Value>: @unchecked Sendable {
  private let loop: EventLoop
  private let held: Value

  package init(_ value: Value, on loop: EventLoop) {
    self.loop = loop
    held = value
  }

  /// On the loop only.
  package var value: Value {
    loop.preconditionCurrent()
    return held
  }

  /// Brings a message home. May be called from any thread.
  package func post(_ message: @escaping @Sendable (Value) -> Void) {
    loop.post { message(value) }
  }
}
