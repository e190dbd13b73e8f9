"use client";

export function Greeting() {
  return <h1 id="greeting">first</h1>;
}
