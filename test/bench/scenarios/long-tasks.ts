// Issue 6, "Speed": the dashboard in a real browser at 50 messages a second.
import { logIn, startClientWorld } from '../../browser/client-world.ts'
import { until } from '../../support/until.ts'
import { below, round, type Scenario } from '../scenario.ts'

const messages = 400

export const longTasks: Scenario = {
  name: 'long-tasks',
  says: `the longest task of the dashboard's page while ${messages} messages come, 50 a second, in a real browser`,
  run: async () => {
    await using world = await startClientWorld()
    const context = await world.openContext()
    const page = await context.newPage()
    await logIn(page, '/dashboard?rate=50')
    await page.getByText('Live', { exact: true }).waitFor()
    const count = async () =>
      Number((await page.locator('.figure').nth(1).innerText()).replaceAll(/\D/g, ''))
    const start = await count()
    await page.evaluate(
      `new PerformanceObserver((list) => (globalThis.longTasks ??= []).push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ type: 'longtask' })`,
    )
    await until('the messages have come', async () => (await count()) > start + messages, 30_000)
    const tasks = await page.evaluate<number[]>('globalThis.longTasks ?? []')
    const longest = Math.max(0, ...tasks)
    return [
      {
        what: 'longest task',
        value: longest === 0 ? 'none of 50 ms' : `${round(longest)} ms, of ${tasks.length}`,
        target: below(longest, 50, 'ms'),
      },
    ]
  },
}
