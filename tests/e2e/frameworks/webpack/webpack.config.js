import HtmlWebpackPlugin from "html-webpack-plugin";
import { merge } from "webpack-merge";

const own = { mode: "development", entry: "./src/main.js", plugins: [new HtmlWebpackPlugin()] };

export default merge(own, /* advice */);
