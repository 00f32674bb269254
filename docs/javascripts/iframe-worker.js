// Browsers start no workers for pages that are opened from disk. There, run
// the search script in a hidden frame and pass the same messages.
if (location.protocol === "file:") {
  window.Worker = class FrameWorker extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.ready = new Promise(resolve => { frame.onload = resolve }).then(() => {
        const inside = frame.contentWindow
        inside.postMessage = data =>
          this.dispatchEvent(new MessageEvent("message", { data }))
        return new Promise(resolve => {
          const script = inside.document.createElement("script")
          script.src = url
          script.onload = () => resolve(inside)
          inside.document.body.append(script)
        })
      })
      document.body.append(frame)
    }

    postMessage(data) {
      this.ready.then(inside =>
        inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }
  }
}
