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
  /// Trailers of answers do not reach HTTP/2 clients.
  case dropTrailers
  /// No stream of the front door's ever ends.
  case loseEndStream
  /// Data goes to the stream beside its own.
  case crossStreams
  /// No stream is ever reset.
  case loseReset
  /// What is held in a turn is sent in none.
  case forgetHeld
  /// The core names a connection that has ended.
  case effectAfterDeath
}
