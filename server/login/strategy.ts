// passport's way to our provider. The packaged strategy has one slot for logins in progress and sends
// neither state nor nonce to a provider with PKCE; this one is given the login that it belongs to.
import type { Request } from 'express'
import passport from 'passport'
import type { Provider } from '../provider/provider.ts'
import type { LoginInProgress } from './login-cookie.ts'

export type StrategyOptions = passport.AuthenticateOptions &
  (
    | { act: 'begin'; login: LoginInProgress; passedOn: Record<string, string> }
    | { act: 'finish'; login: LoginInProgress; callbackUrl: URL }
  )

export class ProviderStrategy extends passport.Strategy {
  override readonly name = 'provider'
  // Not #private: passport calls methods on objects that only inherit from this one.
  private readonly provider: Pick<Provider, 'authorizationUrl' | 'exchangeCode'>

  constructor(provider: Pick<Provider, 'authorizationUrl' | 'exchangeCode'>) {
    super()
    this.provider = provider
  }

  /** Ends in passport's `redirect`, `success` or `error`; every fault is an error, with its class. */
  override authenticate(_request: Request, options: StrategyOptions): void {
    const done =
      options.act === 'begin'
        ? this.provider
            .authorizationUrl(options.login, options.passedOn)
            .then((url) => this.redirect(url.href))
        : this.provider
            .exchangeCode(options.callbackUrl, options.login)
            .then((loggedIn) => this.success(loggedIn))
    done.catch((error: unknown) => this.error(error))
  }
}
