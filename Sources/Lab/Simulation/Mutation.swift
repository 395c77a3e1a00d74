/// A mistake made on purpose by the performer, to see that the oracles bite.
package enum Mutation: String, CaseIterable, Sendable {
  case none
  /// The last byte of a write is lost, once per connection.
  case dropByte
  /// ... or is another.
  case flipByte
  /// A write is made twice.
  case duplicateWrite
  /// What goes to one client goes to another one too.
  case crossClients
  /// A request is sent to its backend a second time, over a connection of its own.
  case repeatRequest
  /// A request is counted in at a member and never out.
  case leakTicket
  /// A paused client is not read from again.
  case forgetResume
  /// Whoever is to be paused is read from all the same.
  case forgetPause
  /// The core does not hear that a client has left.
  case loseEnd
  /// The core does not hear that a backend has closed. Not a mistake that must be found: a deadline
  /// ends what waits for it.
  case loseBackendEnd
  /// No deadline ever passes.
  case ignoreDeadlines
  /// A cut is made to look like an end.
  case cleanCut
  /// The core names a connection that has ended.
  case effectAfterDeath
}
