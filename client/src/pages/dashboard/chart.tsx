// A line that moves: drawn on a canvas, outside React, at most once a frame and only when it is seen.
import { useCallback, useEffect, useImperativeHandle, useRef, type Ref } from 'react'

export interface ChartHandle {
  /** From 0 to 100. */
  add: (value: number) => void
  last: () => number | undefined
}

const most = 120
const lampRadius = 4

export function Chart({ handle, label }: { handle: Ref<ChartHandle>; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const values = useRef<number[]>([])
  const frame = useRef(0)

  const drawSoon = useCallback(() => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0
      if (canvas.current) draw(canvas.current, values.current)
    })
  }, [])

  useImperativeHandle(
    handle,
    () => ({
      add: (value) => {
        values.current.push(value)
        if (values.current.length > most) values.current.shift()
        drawSoon()
      },
      last: () => values.current.at(-1),
    }),
    [drawSoon],
  )

  useEffect(() => {
    const shown = canvas.current
    if (!shown) return undefined
    const resized = new ResizeObserver(drawSoon)
    resized.observe(shown)
    // The colours are the theme's.
    const themed = new MutationObserver(drawSoon)
    themed.observe(document.documentElement, { attributeFilter: ['data-theme'] })
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    scheme.addEventListener('change', drawSoon)
    return () => {
      resized.disconnect()
      themed.disconnect()
      scheme.removeEventListener('change', drawSoon)
      cancelAnimationFrame(frame.current)
      frame.current = 0
    }
  }, [drawSoon])

  return <canvas ref={canvas} className="chart" role="img" aria-label={label} />
}

function draw(canvas: HTMLCanvasElement, values: number[]): void {
  const context = canvas.getContext('2d')
  if (!context) return
  const { clientWidth: width, clientHeight: height } = canvas
  const scale = devicePixelRatio
  const [pixelWidth, pixelHeight] = [Math.round(width * scale), Math.round(height * scale)]
  if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
    canvas.width = pixelWidth
    canvas.height = pixelHeight
  }
  const style = getComputedStyle(canvas)
  context.setTransform(scale, 0, 0, scale, 0, 0)
  context.clearRect(0, 0, width, height)

  const inset = lampRadius * 2
  const x = (at: number) =>
    width - inset - ((values.length - 1 - at) / (most - 1)) * (width - inset)
  const y = (value: number) => inset + (1 - value / 100) * (height - 2 * inset)
  context.strokeStyle = style.borderTopColor // the theme's line
  context.lineWidth = 1
  for (const value of [0, 50, 100]) {
    context.beginPath()
    context.moveTo(0, Math.round(y(value)) + 0.5)
    context.lineTo(width, Math.round(y(value)) + 0.5)
    context.stroke()
  }
  const last = values.at(-1)
  if (last === undefined) return
  context.strokeStyle = style.color
  context.lineWidth = 2
  context.lineJoin = 'round'
  context.beginPath()
  for (const [at, value] of values.entries()) context.lineTo(x(at), y(value))
  context.stroke()
  context.fillStyle = style.outlineColor // the lamp's
  context.beginPath()
  context.arc(x(values.length - 1), y(last), lampRadius, 0, 2 * Math.PI)
  context.fill()
}
