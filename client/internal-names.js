/**
 * Names of members that only the code of the client and its codecs uses. The files for pages have shorter names
 * instead, which makes them 4 % smaller. A name here must not belong to the public API, the protocol, a platform, or a table
 * with texts as keys. `test/page.test.ts` runs bundles with the short names in browsers.
 */
export const internalNames = `
  answer answered arrayHeader ascii ask askAll awaited begin binHeader binLength byte bytes canDeliver check
  checkOf codec command confirm connection connections consumed copy cursor deliver discard discardAll disconnect
  doubt drop emit encoded endAll expect fail failAll failed failures fields firstHeld follow followReset forget
  forgetEmpty frames giveUp goOn goawayMs grammar hand hasHistory hasHole hasStarted head hold idle interrupt
  interruptReads isAsking isContinued isDraining isFinal isIdle isLeaving isObsolete isOn isOpen isRepeat
  isSend isSent isSettled isSlow isUnanswered isWanted keep kind know learn leave levels listener lost met move needs
  newest notify onAnswer onClose onConnected onEnd onEnded onGap onHistory onItems onLost onMessage onMove onMoved
  onOpen onPublications onPush onReady onReset onSendLimited onState onStay onSubscribed onTokenError onTrouble open
  order outgoing overflow pacer patienceMs pause payload post postings probe question queue read reader readers
  reads received receivers refusal refuse refusedUnasked release repair report requests reserve restart resume
  sent sentAt setback settle settled skip source start startWithout stay stop stopTimer stopTimers
  strHeader strLength subscribeAll successor take taken timer toBytes trouble turn uint unsentBytes view wantsMore
  weight whenQuiet whenRoom write
`
  .trim()
  .split(/\s+/);

/** Option of esbuild. */
export const mangleProps = new RegExp(`^(?:${internalNames.join('|')})$`);
