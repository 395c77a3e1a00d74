/// Where tokens come from, as the server sees it: the group of ranks, or a fake of the tests. Lives
/// on the server's loop; its functions and callbacks are called there only.
package protocol TokenEngine: AnyObject {
  var state: EngineState { get }
  /// Only while the state is `ready`; in other states the server refuses by itself.
  func submit(_ request: GenerationRequest)
  func abort(id: UInt64)
  var onEvent: ((EngineEvent) -> Void)? { get set }
  /// After it left `ready`, nothing that was submitted will be answered: the server says so to the
  /// clients, with an error that may be tried again.
  var onState: ((EngineState) -> Void)? { get set }
}

package enum EngineState: Equatable, Sendable {
  /// Loading weights. `why` is empty at the first start, else why the last group ended.
  case starting(why: String)
  case ready(EngineFacts)
  /// Given up, or told to stop. `why` is for the operator.
  case ended(why: String)
}
