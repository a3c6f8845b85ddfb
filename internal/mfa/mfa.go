// Package mfa makes the decisions of multi-factor authentication: the states of an
// action and those in which it accepts a code, whether an authenticator may be
// added or removed, whether a code is right, whether an authenticator is blocked,
// whether a token is still valid, and what a right code completes. The decisions
// are in sections 4.2, 9 and 11 of the wire contract.
//
// It runs in the caller's transaction and does not use HTTP. Refusals are
// *api.Error values, and any other error is the store's. The API, the pre-built
// UI and the portal call it and do not decide any of this themselves.
package mfa
