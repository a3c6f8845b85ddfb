// Package attacks attacks a running server with only the first factor, with a
// page of another site, or by guessing. It contains only tests: each starts the
// real program, sends it HTTP requests, and shows that the attack fails and that
// the honest flow beside it passes. No package imports it.
//
// The model in model_test.go covers what a list of attacks does not: random
// sequences of calls, each answer compared with what the wire contract says.
//
// Threats and the tests that show what holds against them:
//
//   - A first factor and a generous scope replace the second factor:
//     TestAddingNeedsTheChallenge, TestRemovingNeedsTheChallenge,
//     TestTheChallengeOfAnotherActionDoesNotCount, TestTheURLOfAnEnrolledUserOnlyReads
//   - An enrollment begun before the user enrolled is completed after it:
//     TestAPendingEnrollmentEndsWhenTheUserEnrolls, TestOneOfTwoFirstEnrollmentsWins,
//     TestAnAllowedNewcomerMayNotAddLater
//   - An action that was decided against the user is reopened by an enrollment:
//     TestRefusedActionsTakeNoEnrollment, TestAReviewedActionTakesEnrollmentsOnly
//   - An action is tracked again under a known idempotency key:
//     TestTrackingAgainResetsNothing, TestAnActionOfAnEarlierUserNeverValidates
//   - Tokens outlive what earned them: TestTokensEndWithTheirAuthenticator,
//     TestTokensEndWithTheirUser, TestExpiredTokensDoNothing, TestSigningKeysEnd
//   - Tokens are forged, widened or taken to another tenant:
//     TestForgedTokensAreRefused, TestATokenIsNeverWidened,
//     TestTokensOfAnotherTenantAreRefused, TestTokensOfAnotherUserOpenNothing,
//     TestTheAudienceIsAString
//   - A code is guessed, used twice or valid for too long:
//     TestACodeCountsOnce, TestGuessingCodesIsLimited, TestAuthenticatorsAreCounted,
//     TestImportedPeriodsAreBounded
//   - Something changes while a webhook is asked for its consent:
//     TestALateConsentMovesNothing
//   - Factors that cannot be challenged: TestUsersOfOtherFactorsNeedTheScope
//   - A rule that fails hides a stricter one: TestAFailingRuleHidesNoStricterOne,
//     TestAFailingRuleNeverAllows, TestDeviceTextsAreNeverRefused
//   - A rule exhausts the server: TestRuleBombsAreBounded,
//     TestThePortalsTryIsBounded
//   - Rules that are saved and then fail for everybody: TestRulesThatCannotWorkAreNotSaved,
//     TestNumbersOfRulesAreDoubles
//   - Custom data that changes or grows: TestCustomLists, TestCustomDataIsBounded,
//     TestLargeNumbersAreNotChanged
//   - Keys are guessed: TestShortKeysDoNotStart, TestGuessingKeysIsLimited
//   - A page of another site uses a key: TestCrossSiteCallsAreRefused
//   - The portal or the server in the clear: TestThePortalNeedsHTTPS,
//     TestDevIsNotForHTTPS, TestHTTPSIsKept
//   - The files of the database: TestFilesAreTightened, TestDeletedSecretsAreGone,
//     TestWebhookURLsAreSealed
//   - A path that two parts of the server read differently: TestEveryPathAsksForItsOwnKey
//   - Malformed HTTP: TestARawPercentIsAnsweredInJSON, TestABodyThatNeverEndsIsAnswered
//   - Paths of the hosted API: TestPathsThatAreNotHereAreNamed, TestUsersCarryTheirID
package attacks
