// Package attacks attacks a running server as somebody would who has only the
// first factor, a page of another site, or a guess. It has tests and nothing
// else: each starts the real program, speaks HTTP with it, and shows that the
// attack fails and that the honest flow beside it passes.
//
// The model in model_test.go covers what no list of attacks does: random
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
//     TestTrackingAgainResetsNothing, TestAnActionOfAnEarlierUserNeverValidates,
//     TestANewcomerTrackedAgainIsChallenged, TestASuccessEndsWithItsTokens
//   - The webhook consents to what was changed meanwhile: TestAConsentDoesNotOutliveAnUpdate
//   - A deleted user's devices are known: TestADeviceOfAnEarlierUserIsNew
//   - Tokens outlive what earned them: TestTokensEndWithTheirAuthenticator,
//     TestTokensEndWithTheirUser, TestExpiredTokensDoNothing, TestSigningKeysEnd
//   - Tokens are forged, widened or taken to another tenant:
//     TestForgedTokensAreRefused, TestATokenIsNeverWidened,
//     TestAnExchangedTokenNamesAScopeOnce,
//     TestTokensOfAnotherTenantAreRefused, TestTokensOfAnotherUserOpenNothing,
//     TestTheAudienceIsAString
//   - A code is guessed, used twice or valid for too long:
//     TestACodeCountsOnce, TestGuessingCodesIsLimited, TestAnAbandonedGuessCounts, TestAuthenticatorsAreCounted,
//     TestImportedPeriodsAreBounded
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
//   - A page of another site uses a key: TestCrossSiteCallsAreRefused,
//     TestCrossSiteFloodsAreLimited, TestFloodsOfFilesDoNotFillTheLog
//   - The portal or the server in the clear: TestThePortalNeedsHTTPS,
//     TestDevIsNotForHTTPS, TestHTTPSIsKept
//   - The files of the database: TestFilesAreTightened, TestDeletedSecretsAreGone,
//     TestWebhookURLsAreSealed
//   - Malformed HTTP: TestARawPercentIsAnsweredInJSON, TestABodyThatNeverEndsIsAnswered,
//     TestABodyThatIsNotReadIsAnswered
//   - Paths of the hosted API: TestPathsThatAreNotHereAreNamed, TestUsersCarryTheirID
package attacks
