// Package torture checks that the server keeps two promises while it is killed,
// paused and disconnected, its clocks are stepped and its database is switched
// over: a code is accepted once, and an acknowledged write stays. It contains only
// tests, and no package imports it.
//
// Sixteen clients call real server processes. Each call is recorded with the time
// before it, the time after it and its answer, and the history of each user is
// checked for linearizability (Herlihy and Wing, 1990) against the model in
// model_test.go by porcupine: there must be an order of the calls that agrees with
// these times, in which a server that does one thing at a time would have given
// the same answers. A call without an answer may have happened or not.
//
// AUTHSIGNAL_TEST_OPERATIONS sets the number of calls, and AUTHSIGNAL_TEST_SEED
// repeats the plan of a run: which client makes which calls to which server, and
// the faults in their order.
package torture
