/**
 * React components for authenticator apps and recovery codes: no style,
 * accessible, and safe under StrictMode and on a server.
 *
 * @packageDocumentation
 */
export { germanTexts } from "./react/german.js";
export { useAuthsignal } from "./react/instance.js";
export type { CommonProps, TotpProps, Verified } from "./react/props.js";
export { RecoveryCodeChallenge, RecoveryCodes, type RecoveryCodesProps } from "./react/recovery.js";
export { defaultTexts, type AuthsignalError, type Texts } from "./react/texts.js";
export { TotpChallenge, TotpEnroll, type TotpChallengeProps, type TotpEnrollProps } from "./react/totp.js";
